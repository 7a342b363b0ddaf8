# shellcheck shell=bash
# What every generated submit_all.sh is made of. Needs bash 4, coreutils and, under Slurm, Slurm's own clients.
#
#   open_plan "$@"                                  reads the options; refuses a generated tree that somebody edited
#   submit JOB FINGERPRINT [steps N...] [after P...] [ended P...]
#                                                   one job: it starts when all P of `after` succeeded and all of `ended` ended;
#                                                   it is done when its done-marker and the checkpoints of all steps N are there
#   gate STUDY                                      nothing of the plan starts before that study's report is done
#   close_plan                                      submits what is neither done nor under way, or runs it here
#
# The sourcing script sets study, executor (slurm or local), store, root, here, and may set kill_on_invalid_dep=yes.
#
# No job is submitted twice, wherever an earlier run was interrupted: a job's name carries its fingerprint and so is unique;
# a line of intent stands in the ledger before each sbatch and the id after it; and one squeue call tells which of the names
# Slurm knows, whatever the ledger says (each job's comment names its store, so that another store's are not taken for
# ours). New jobs whose parents are not new wait on hold until the whole plan is in. The
# ledger's columns are described in runtime/ledger.py.
set -euo pipefail

if ((BASH_VERSINFO[0] < 4)); then
    printf 'submit: this is bash %s; Lethe needs bash 4 or newer\n' "$BASH_VERSION" >&2
    exit 1
fi

: "${study?}" "${executor?}" "${store?}" "${root?}" "${here?}"
kill_on_invalid_dep=${kill_on_invalid_dep:-no}

dry_run=no assume_yes=no force=no ledger=''
total=0 done_count=0 adopted_count=0 new_count=0
lock='' id='' dependency='' exported=''
gate='' gate_job='' gate_fingerprint='' gate_name='' gate_id=''
jobs=() todo=() held=() new_ids=()
declare -A fingerprint_of=() name_of=() after_of=() ended_of=() steps_of=() is_done=()  # by job; name_of: Slurm's, unique
declare -A id_of=() is_new=()                                                       # by job, in this run
declare -A queued_id=() queued_state=() queued_reason=() queued_dependency=()       # by Slurm name
declare -A ledger_knows=() ledger_released=()                                       # by Slurm id

say() { printf '%s\n' "$*" >&2; }

fail() {    # fail CODE LINE...: what is wrong, and what to do about it
    local code=$1
    shift
    printf 'submit: %s\n' "$1" >&2
    shift
    [[ $# -eq 0 ]] || printf '        %s\n' "$@" >&2
    exit "$code"
}

usage() {
    cat <<HELP
Usage: bash $0 [--dry-run] [--yes] [--force]

Submits every job of study $study that is neither done nor under way, in dependency order (executor: $executor).
Run it again at any time: after an interruption it goes on, after a failure it submits what failed again.

  --dry-run   print what would be submitted; change nothing
  --yes       do not ask before submitting
  --force     go on although generated files were changed by hand
  --help      this text

Store: $store    (set LETHE_STORE to use another folder)
Exit codes: 0 all submitted, or all run; 1 nothing was submitted, or a job failed here; 4 submitted in part: run it again.
HELP
}

# ---- reading the plan ---------------------------------------------------------------------------------------------------

open_plan() {
    local option
    for option; do
        case $option in
            --dry-run) dry_run=yes ;;
            --yes | -y) assume_yes=yes ;;
            --force) force=yes ;;
            --help | -h) usage; exit 0 ;;
            *) fail 1 "unknown option $option" "The options are --dry-run, --yes, --force and --help." ;;
        esac
    done
    case $executor in
        slurm | local) ;;
        *) fail 1 "executor is '$executor'; it must be slurm or local" ;;
    esac
    find_store
    check_files
}

find_store() {
    if [[ -z ${LETHE_STORE:-} && -z ${SCRATCH:-} && $store == /lethe ]]; then
        fail 1 'neither LETHE_STORE nor SCRATCH is set, so there is no folder for the results' \
            "For example: LETHE_STORE=\$HOME/lethe bash $0"
    fi
    case $store in
        /*) ;;
        *) if [[ -n ${LETHE_STORE:-} ]]; then store=$PWD/$store; else store=$root/$store; fi ;;
    esac
}

check_files() {
    local bad
    if bad=$(cd -- "$here" && sha256sum --quiet --strict -c manifest.sha256 2>&1); then
        return
    fi
    if [[ $force == yes ]]; then
        say "submit: generated files differ from what was compiled; going on because of --force:"
        say "$bad"
        return
    fi
    fail 1 "files under $here are not what was compiled:" "${bad//$'\n'/$'\n        '}" \
        'Restore them with lethe compile --overwrite, or pass --force to submit them as they are.'
}

submit() {
    local job=$1 word list=none
    [[ -z ${fingerprint_of[$job]:-} ]] || fail 1 "$job stands twice in $0" 'Compile the study again.'
    [[ -r $here/jobs/$job.sh ]] || fail 1 "$here/jobs/$job.sh is missing" 'Compile the study again.'
    total=$((total + 1))
    jobs+=("$job")
    fingerprint_of[$job]=$2 name_of[$job]=$study.${job/\//.}.${2:0:8} after_of[$job]='' ended_of[$job]='' steps_of[$job]=''
    shift 2
    for word; do
        case $list:$word in
            *:after | *:ended | *:steps) list=$word ;;
            steps:*[!0-9]*) fail 1 "$job: '$word' is no step, in $0" 'Compile the study again.' ;;
            steps:*) steps_of[$job]+=" $word" ;;
            after:*) need_known "$job" "$word"; after_of[$job]+=" $word" ;;
            ended:*) need_known "$job" "$word"; ended_of[$job]+=" $word" ;;
            *) fail 1 "$job: '$word' stands before steps, after or ended in $0" 'Compile the study again.' ;;
        esac
    done
}

need_known() {  # need_known JOB PARENT
    [[ -n ${fingerprint_of[$2]:-} ]] || fail 1 "$1 comes before $2, which it needs, in $0" 'Compile the study again.'
}

close_plan() {
    local job
    for job in "${jobs[@]}"; do
        if has_ended_well "$job"; then
            is_done[$job]=yes
            done_count=$((done_count + 1))
        else
            todo+=("$job")
        fi
    done
    [[ ${#todo[@]} -eq 0 || -z $gate ]] || pass_gate
    if [[ ${#todo[@]} -eq 0 ]]; then
        say "nothing to do: $total jobs are done"
    elif [[ $executor == slurm ]]; then
        run_on_slurm
    else
        run_here
    fi
}

# ---- the gate -----------------------------------------------------------------------------------------------------------

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

is_past_gate() { [[ -e $store/$gate_job-${gate_fingerprint:0:12}/DONE.json ]]; }

pass_gate() {   # submits the gate's study, or runs it here, unless its report is done
    local options=()
    ! is_past_gate || return 0
    [[ $dry_run == no ]] || options+=(--dry-run)
    [[ $assume_yes == no ]] || options+=(--yes)
    [[ $force == no ]] || options+=(--force)
    say "$study waits for $gate, which comes first:"
    LETHE_STORE=$store bash "$here/../$gate/submit_all.sh" "${options[@]}" ||
        fail 1 "$gate could not be submitted, or did not succeed; its message is above" "Nothing of $study was started."
    [[ $executor == slurm || $dry_run == yes ]] || is_past_gate ||
        fail 1 "$gate ended, and its report is not done" "Nothing of $study was started."
}

find_gate() {   # sets $gate_id, the Slurm id of the gate's report, unless that is done; after read_queue
    [[ -n $gate ]] && ! is_past_gate || return 0
    if is_active "$gate_name"; then
        gate_id=${queued_id[$gate_name]}
    elif [[ $dry_run == yes ]]; then
        gate_id="{$gate_job}"
    else
        fail 1 "$gate is submitted, and Slurm knows no job $gate_name" 'Run this again.'
    fi
}

has_ended_well() {  # has_ended_well JOB: its done-marker is there, and so are the checkpoints that other jobs need
    local step missing='' out=$store/$1-${fingerprint_of[$1]:0:12}
    [[ -e $out/DONE.json ]] || return 1
    for step in ${steps_of[$1]}; do
        [[ -d $out/steps/$step ]] || missing+=" $step"
    done
    [[ -n $missing ]] || return 0
    say "submit: $1 is done, but kept no checkpoint of step$missing: it is trained again"
    return 1
}

unfinished() {  # unfinished PARENT...: those of them that are not done yet
    local parent words=()
    for parent; do
        [[ -n ${is_done[$parent]:-} ]] || words+=("$parent")
    done
    printf '%s' "${words[*]-}"
}

# ---- the ledger ---------------------------------------------------------------------------------------------------------

record() {      # record EVENT JOB [SLURM_ID]: one line, on disk before this returns
    local now
    TZ=UTC printf -v now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
    printf '%s\t%s\t%s\t%s\t%s\t\n' "$now" "$1" "$2" "${fingerprint_of[$2]}" "${3:-}" >>"$ledger"
    sync -- "$ledger"
}

read_ledger() {
    local event number
    ledger=$store/ledger/$study.tsv
    [[ -s $ledger ]] || return 0
    while IFS=$'\t' read -r _ event _ _ number _; do
        case $event in
            submitted) ledger_knows[$number]=yes ;;
            released) ledger_released[$number]=yes ;;
        esac
    done <"$ledger"
}

open_ledger() { # folders, a lock against a second submission of this study, and a whole last line
    mkdir -p -- "$store/ledger" "$store/logs/$study" ||
        fail 1 "cannot write below $store" 'Set LETHE_STORE to a folder that you may write to.'
    take_lock
    if [[ -s $ledger && -n $(tail -c 1 -- "$ledger") ]]; then
        printf '\n' >>"$ledger"
    fi
}

take_lock() {
    local owner host pid path=$store/ledger/$study.lock
    if ! (set -o noclobber && printf '%s %s\n' "$HOSTNAME" "$$" >"$path") 2>/dev/null; then
        owner=$(cat -- "$path" 2>/dev/null || true)
        read -r host pid <<<"$owner" || true
        if [[ $host != "$HOSTNAME" ]] || kill -0 "$pid" 2>/dev/null; then
            fail 1 "process ${pid:-?} on ${host:-?} is submitting $study right now" \
                "Wait for it; if it is gone for good, remove $path and run this again."
        fi
        printf '%s %s\n' "$HOSTNAME" "$$" >"$path"
    fi
    lock=$path
    trap 'rm -f -- "$lock"' EXIT
}

# ---- Slurm --------------------------------------------------------------------------------------------------------------

run_on_slurm() {
    local job
    scrub_environment
    read_ledger
    read_queue
    find_gate
    if [[ $dry_run == yes ]]; then
        show_plan
        return
    fi
    confirm
    open_ledger
    trap 'interrupted' INT TERM HUP
    for job in "${todo[@]}"; do
        submit_one "$job"
    done
    release_held
    trap - INT TERM HUP
    say "$study: $new_count jobs submitted, $adopted_count already queued or running, $done_count done, of $total"
    say "Watch them with: python -m runtime status $here/plan.json"
}

scrub_environment() {   # SBATCH_* would override the scripts' directives, SLURM_* of a job around us would leak into ours
    local name
    for name in "${!SBATCH_@}" "${!SLURM_@}" "${!SQUEUE_@}" "${!SCONTROL_@}"; do
        [[ $name == SLURM_CONF ]] || unset -v "$name"
    done
    export LETHE_ROOT=$root LETHE_STORE=$store
    exported=LETHE_ROOT,LETHE_STORE     # beside these, Slurm loads the login environment: no secret of this shell goes along
    for name in HOME LANG PATH SCRATCH USER; do     # in case it cannot load it
        [[ -z ${!name:-} ]] || exported+=,$name
    done
}

read_queue() {  # one question to Slurm: which of our names does it know, and how are they?
    local lines number name state reason waits_for comment
    if ! command -v squeue >/dev/null; then
        [[ $dry_run == yes ]] && return
        fail 1 'there is no squeue here, so this machine cannot submit to Slurm' \
            'Run this on a login node of the cluster, or compile the study for the cluster "local".'
    fi
    if ! lines=$(squeue --noheader --states=all --user="$(id -un)" --format='%i|%j|%t|%r|%E|%k'); then
        [[ $dry_run == no ]] ||
            { say 'submit: squeue could not tell what is queued already; shown as if nothing were'; return; }
        fail 1 'squeue could not tell what is queued already; its message is above' 'Nothing was submitted. Run this again later.'
    fi
    while IFS='|' read -r number name state reason waits_for comment; do
        [[ ($name == "$study."* || $name == "${gate_name:-$study.}") && ($comment == "$store" || -n ${ledger_knows[$number]:-}) ]] || continue
        [[ ${queued_id[$name]:-0} -lt $number ]] || continue
        queued_id[$name]=$number queued_state[$name]=$state queued_reason[$name]=$reason queued_dependency[$name]=$waits_for
    done <<<"$lines"
}

is_active() {   # is_active NAME: Slurm knows that job and it has not ended
    case ${queued_state[$1]:-none} in
        none | BF | CA | CD | DL | F | NF | OOM | PR | RV | TO) return 1 ;;
    esac
}

submit_one() {
    local job=$1 name=${name_of[$1]}
    note_unrecorded "$job" "$name"
    find_dependency "$job"
    if is_active "$name"; then
        adopt "$job" "$name"
    else
        send "$job" "$name"
    fi
    [[ ! -t 2 ]] || printf '\r%s: %d of %d' "$study" $((new_count + adopted_count)) ${#todo[@]} >&2
    [[ ! -t 2 || $((new_count + adopted_count)) -lt ${#todo[@]} ]] || printf '\r\033[K' >&2
}

note_unrecorded() { # an earlier run was cut off between sbatch and its ledger line: write that line now
    local number=${queued_id[$2]:-}
    [[ -z $number || -n ${ledger_knows[$number]:-} ]] || record submitted "$1" "$number"
}

adopt() {       # adopt JOB NAME: it is queued or running; mend its dependencies, or its hold, if an earlier run could not
    local job=$1 name=$2
    id=${queued_id[$name]}
    if [[ ${queued_state[$name]} == PD ]] && is_stale "$name"; then
        scontrol update "jobid=$id" "dependency=$dependency" ||
            stop_half_way "scontrol could not give $job ($id) its new parents"
        record updated "$job" "$id"
    fi
    if [[ ${queued_reason[$name]} == JobHeldUser && -z ${ledger_released[$id]:-} ]]; then
        held+=("$job")
    fi
    id_of[$job]=$id
    adopted_count=$((adopted_count + 1))
}

is_stale() {    # is_stale NAME: it waits for a job that failed, or does not wait for one that it needs
    local number old=${queued_dependency[$1]}
    [[ $old != *'(failed)'* ]] || return 0
    for number in ${dependency//[!0-9]/ }; do
        [[ $old =~ (^|[^0-9])$number([^0-9]|$) ]] || return 0
    done
    return 1
}

send() {        # send JOB NAME: submit it, on hold unless it waits for a job that is new itself
    local job=$1 command=()
    sbatch_line "$job" "$2"
    record intent "$job"
    id=$("${command[@]}") || stop_half_way "sbatch did not take $job; its message is above"
    id=${id%%;*}
    [[ $id =~ ^[0-9]+$ ]] || stop_half_way "sbatch answered '$id' for $job, which is no job id"
    record submitted "$job" "$id"
    [[ " ${command[*]} " != *' --hold '* ]] || held+=("$job")
    id_of[$job]=$id
    is_new[$job]=yes
    new_ids+=("$id")
    new_count=$((new_count + 1))
}

sbatch_line() { # sbatch_line JOB NAME: sets the caller's `command`; reads $dependency
    local job=$1
    command=(sbatch --parsable --job-name="$2" --comment="$store" --chdir="$root" --export="$exported"
        --output="${store//%/%%}/logs/$study/${job/\//.}-%j.out")
    [[ -z $dependency ]] || command+=(--dependency="$dependency")
    [[ -z $dependency || $kill_on_invalid_dep != yes ]] || command+=(--kill-on-invalid-dep=yes)
    waits_for_new "$job" || command+=(--hold)
    command+=("$here/jobs/$job.sh")
}

waits_for_new() {
    local parent
    for parent in ${after_of[$1]} ${ended_of[$1]}; do
        [[ -z ${is_new[$parent]:-} ]] || return 0
    done
    return 1
}

find_dependency() { # find_dependency JOB: sets $dependency; a parent that is done needs none
    local parent ok='' any=''
    for parent in ${after_of[$1]}; do
        [[ -n ${is_done[$parent]:-} ]] || ok+=":${id_of[$parent]}"
    done
    for parent in ${ended_of[$1]}; do
        [[ -n ${is_done[$parent]:-} ]] || any+=":${id_of[$parent]}"
    done
    [[ -n $ok || -n $any || -z $gate_id ]] || ok=:$gate_id   # what waits for nothing else would start before the gate
    dependency=${ok:+afterok$ok}${any:+${ok:+,}afterany$any}
}

release_held() {
    local job numbers=''
    [[ ${#held[@]} -gt 0 ]] || return 0
    for job in "${held[@]}"; do
        numbers+=,${id_of[$job]}
    done
    scontrol release "${numbers#,}" || stop_half_way 'everything is submitted, but scontrol could not release the first jobs'
    for job in "${held[@]}"; do
        record released "$job" "${id_of[$job]}"
    done
}

stop_half_way() {
    [[ ! -t 2 ]] || printf '\n' >&2
    if [[ $((new_count + adopted_count)) -eq 0 ]]; then
        fail 1 "$1" 'No job of this study is queued. Mend the cause, then run this again.'
    fi
    fail 4 "$1" "$((new_count + adopted_count)) of ${#todo[@]} jobs are queued; the ${#held[@]} new ones that could start are on hold." \
        'Mend the cause, then run this again: it asks Slurm what arrived and goes on from there.' \
        "To withdraw what this run submitted: scancel ${new_ids[*]:-(nothing)}"
}

interrupted() {
    trap - INT TERM HUP
    stop_half_way 'interrupted'
}

confirm() {
    local answer active=0 job
    [[ $assume_yes == no && -t 0 && -t 2 ]] || return 0
    for job in "${todo[@]}"; do
        ! is_active "${name_of[$job]}" || active=$((active + 1))
    done
    printf '%s: %d jobs, %d done, %d queued or running. Submit %d to Slurm? [y/N] ' \
        "$study" "$total" "$done_count" "$active" $((${#todo[@]} - active)) >&2
    read -r answer || answer=
    [[ $answer == [yY]* ]] || fail 1 'nothing was submitted'
}

show_plan() {   # the sbatch lines, with {JOB} for an id that is not known yet
    local job command=()
    for job in "${todo[@]}"; do
        find_dependency "$job"
        if is_active "${name_of[$job]}"; then
            id_of[$job]=${queued_id[${name_of[$job]}]}
            printf '# %s is under way: %s\n' "$job" "${id_of[$job]}"
        else
            sbatch_line "$job" "${name_of[$job]}"
            show_command "${command[@]}"
            id_of[$job]="{$job}" is_new[$job]=yes
        fi
    done
}

show_command() { # one line to read and to paste; only words that need it are quoted
    local word plain='^[][A-Za-z0-9_./:=,%{}@+-]+$'
    printf '%s' "$1"
    shift
    for word; do
        if [[ $word =~ $plain ]]; then printf ' %s' "$word"; else printf ' %q' "$word"; fi
    done
    printf '\n'
}

# ---- this machine -------------------------------------------------------------------------------------------------------

run_here() {
    local job python=$root/.venv/bin/python list=$store/ledger/$study.todo
    if [[ $dry_run == yes ]]; then
        for job in "${todo[@]}"; do
            show_command bash "$here/jobs/$job.sh"
        done
        return
    fi
    [[ -x $python ]] || python=python3
    mkdir -p -- "$store/ledger" "$store/logs/$study" ||
        fail 1 "cannot write below $store" 'Set LETHE_STORE to a folder that you may write to.'
    for job in "${todo[@]}"; do
        # shellcheck disable=SC2086  # lists of job ids, which hold no blanks
        printf '%s\t%s\t%s\t%s\t%s\n' "$job" "${fingerprint_of[$job]}" \
            "$(unfinished ${after_of[$job]})" "$(unfinished ${ended_of[$job]})" "${steps_of[$job]# }"
    done >"$list"
    cd -- "$root"
    exec "$python" -m runtime local --study="$study" --generated="$here" --store="$store" --done="$done_count" "$list"
}
