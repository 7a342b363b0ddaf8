# shellcheck shell=bash disable=SC2004,SC2034,SC2154  # variables are shared with submit.sh; by job is no arithmetic
# The gate: a study (the canary) whose report must be done before anything of this one starts. It is submitted first, as a study
# of its own, and what of ours waits for nothing else waits for its report.

gate='' gate_job='' gate_fingerprint='' gate_name=''
gate_id='' gate_feeder=''       # Slurm's ids of its report, and of the job with which it goes on by itself
gate_left=no gate_new=0         # whether some of it did not go in; how many of its jobs this run sent

gate() {        # gate STUDY: that study is compiled beside this one; its last line submits its report
    local word job print script=$here/../$1/submit_all.sh
    gate=$1
    [[ -r $script ]] || fail 1 "$study waits for $gate, and that is not compiled: there is no $script" \
        'Compile the study again.'
    while read -r word job print _; do
        [[ "$word $job" != 'submit report/'* ]] || gate_job=$job gate_fingerprint=$print
    done <"$script"
    [[ -n $gate_job ]] || fail 1 "$script submits no report" 'Compile the study again.'
    gate_name=$gate.${gate_job/\//.}.${gate_fingerprint:0:8}
}

is_past_gate() { [[ -z $gate || -e $store/$gate_job-${gate_fingerprint:0:12}/DONE.json ]]; }

pass_gate() {   # submits the gate's study, or runs it here, unless its report is done. --select is for this study alone
    local options=() before code=0
    ! is_past_gate || return 0
    [[ $dry_run == no ]] || options+=(--dry-run)
    [[ $assume_yes == no ]] || options+=(--yes)
    [[ $force == no ]] || options+=(--force)
    [[ $feed == no ]] || options+=(--feed)
    [[ $only_new == no ]] || options+=(--only-new)
    [[ -z $max_jobs ]] || options+=(--max-jobs="$max_jobs")
    before=$(count_gate)
    say "$study waits for $gate, which comes first:"
    LETHE_STORE=$store LETHE_FEEDERS=2 bash "$here/../$gate/submit_all.sh" "${options[@]}" || code=$?
    if [[ $executor == slurm && $code -eq 4 ]]; then
        gate_left=yes
    elif [[ $code -ne 0 ]]; then
        fail 1 "$gate could not be submitted, or did not succeed; its message is above" "Nothing of $study was started."
    elif [[ $dry_run == yes ]]; then
        say "$study itself, as if $gate took no room in the queue:"
    elif [[ $executor == local ]] && ! is_past_gate; then
        fail 1 "$gate ended, and its report is not done" "Nothing of $study was started."
    fi
    gate_new=$(($(count_gate) - before))
}

count_gate() {  # how many jobs its ledger says were submitted, ever
    local event count=0 path=$store/ledger/$gate.tsv
    if [[ -s $path ]]; then
        while IFS=$'\t' read -r _ event _; do
            [[ $event != submitted ]] || count=$((count + 1))
        done <"$path"
    fi
    printf '%s' "$count"
}

find_gate() {   # sets $gate_id, unless the gate's report is done, and $gate_feeder
    ! is_past_gate || return 0
    if [[ $dry_run == yes ]]; then
        ! command -v squeue >/dev/null || ask_for_gate || true
        gate_id=${gate_id:-"{$gate_job}"}
        return
    fi
    ask_for_gate || fail 1 "squeue could not tell how $gate is doing; its message is above" \
        "Nothing of $study was submitted. Run this again later."
    if [[ $gate_left == yes ]]; then
        wait_for_gate
    elif [[ -n $gate_id ]] || is_past_gate; then
        return
    elif [[ $only_new == yes ]]; then
        fail 1 "$gate was submitted before and failed, and --only-new leaves it alone" \
            "Nothing of $study was submitted. Without --only-new $gate goes in again."
    else
        fail 1 "$gate is submitted, and Slurm knows no job $gate_name" 'Run this again.'
    fi
}

ask_for_gate() { # whoever submitted it; its comment or its ledger tells that it is our store's
    local lines number name state comment
    lines=$(squeue --noheader --states=all --name="$gate_name,$gate.feed" --format='%i|%j|%t|%k') || return 1
    while IFS='|' read -r number name state comment; do
        if [[ -z $number ]] || has_ended "$state"; then
            continue
        elif [[ $name == "$gate.feed" ]]; then
            [[ $comment != "$store" ]] || gate_feeder=$number
        elif is_of_gate "$number" || [[ -z $gate_id && $comment == "$store" ]]; then
            gate_id=$number
        fi
    done <<<"$lines"
}

is_of_gate() {  # is_of_gate SLURM_ID: its ledger has its report under that id
    local event job number path=$store/ledger/$gate.tsv
    [[ -s $path ]] || return 1
    while IFS=$'\t' read -r _ event job _ number _; do
        [[ "$event $job $number" != "submitted $gate_job $1" ]] || return 0
    done <"$path"
    return 1
}

wait_for_gate() { # not all of it is in the queue, so there is no report to wait for: nothing of this study can go in
    [[ $feed == no || -z $gate_feeder ]] || feed_later
    fail 4 "$gate, which comes first, is in the queue in part only; its message is above. Nothing of $study was submitted." \
        "${goes_on:-Do what it says, then run this again: it goes on from there.}"
}
