# shellcheck shell=bash disable=SC2004,SC2034,SC2154  # variables are shared with submit.sh; by job is no arithmetic
# What Slurm knows of our jobs.

own_job=${SLURM_JOB_ID:-}   # where this runs inside a job
pause=${LETHE_RETRY_SECONDS:-5}
me=$(id -un)
columns='%i|%j|%t|%r|%E|%u|%k'

declare -A queued_id=() queued_state=() queued_reason=() queued_dependency=()       # by job
declare -A size_of=()       # by the id of an array that Slurm knows: how many elements it has
doubles=() in_queue=0 feeder='' doubtful=no

scrub_environment() {   # SBATCH_* would override the scripts' directives, SLURM_* of a job around us would leak into ours
    local name
    for name in "${!SBATCH_@}" "${!SLURM_@}" "${!SQUEUE_@}" "${!SCONTROL_@}" "${!SCANCEL_@}"; do
        [[ $name == SLURM_CONF ]] || unset -v "$name"
    done
    export LETHE_ROOT=$root LETHE_STORE=$store
    exported=LETHE_ROOT,LETHE_STORE     # beside these, Slurm loads the login environment: no secret of this shell goes along
    for name in HOME LANG PATH SCRATCH USER; do     # in case it cannot load it
        [[ -z ${!name:-} ]] || exported+=,$name
    done
}

need_slurm() {
    command -v squeue >/dev/null || fail 1 'there is no squeue here, so this machine cannot submit to Slurm' \
        'Run this on a login node of the cluster, or compile the study for the cluster "local".'
}

read_queue() {  # one question to Slurm: which of our jobs does it know, and how are they? Fails where it does not answer.
    local lines number name state reason waits_for owner comment job
    lines=$(squeue --noheader --array --states=all --user="$(users)" --format="$columns") || return 1
    queued_id=() queued_state=() queued_reason=() queued_dependency=() size_of=() doubles=() in_queue=0 feeder=''
    while IFS='|' read -r number name state reason waits_for owner comment; do
        [[ $number != "$own_job" && -n $number ]] || continue
        [[ $owner != "$me" ]] || has_ended "$state" || in_queue=$((in_queue + 1))
        [[ $name == "$study."* && ($comment == "$store" || -n ${ledger_knows[$number]:-}) ]] || continue
        [[ $name != "$study.feed" ]] || has_ended "$state" || feeder=$number
        if [[ $number == *_* ]]; then
            size_of[${number%_*}]=$((${size_of[${number%_*}]:-0} + 1))
            name+=_${number#*_}
        fi
        job=${ledger_job[$number]:-${job_of_name[$name]:-${ledger_job[$name]:-}}}
        [[ -z $job ]] || is_older "$job" "$number" "$state" || {
            queued_id[$job]=$number queued_state[$job]=$state queued_reason[$job]=$reason queued_dependency[$job]=$waits_for
        }
    done <<<"$lines"
}

users() {       # whose jobs may be this study's: ours, and those of whoever submitted into this store
    local name found=$me
    for name in "${!submitters[@]}"; do
        if [[ $name != "$me" ]] && id -u "$name" >/dev/null 2>&1; then found+=,$name; fi
    done
    printf '%s' "$found"
}

is_older() {    # is_older JOB ID STATE: one that is under way goes before one that has ended, then the newer before the older;
    local before=${queued_id[$1]:-}     # of two that are under way, the one of the ledger counts, and the other is a double
    [[ -n $before ]] || return 1
    if has_ended "$3"; then
        is_active "$1" || [[ ${before%_*} -gt ${2%_*} ]]
    elif ! is_active "$1"; then
        return 1
    elif [[ -n ${ledger_knows[$before]:-} || -z ${ledger_knows[$2]:-} ]]; then
        doubles+=("$2 $3 $1")
    else
        doubles+=("$before ${queued_state[$1]} $1")
        return 1
    fi
}

has_ended() {   # has_ended STATE
    case $1 in
        BF | CA | CD | DL | F | NF | OOM | PR | RV | TO) ;;
        *) return 1 ;;
    esac
}

is_active() {   # is_active JOB: Slurm knows it and it has not ended
    [[ -n ${queued_state[$1]:-} ]] && ! has_ended "${queued_state[$1]}"
}

withdraw_doubles() { # Slurm may take a job although sbatch said that it could not; nothing waits for the one nobody heard of
    local number state job
    for number in "${doubles[@]}"; do
        read -r number state job <<<"$number"
        if [[ $state == PD ]] && scancel "$number"; then
            say "submit: $job was in the queue twice; $number is withdrawn, ${queued_id[$job]} stays"
        else
            say "submit: $job is in the queue twice; ${queued_id[$job]} counts. Withdraw the other: scancel $number"
        fi
    done
}

look_for_doubles() { # after answers that got lost
    if read_queue; then
        withdraw_doubles
    else
        say 'submit: squeue does not say whether a job is in the queue twice; the next run looks again'
    fi
}

find_room() {   # how many jobs may go in now, and what the bound is
    room='' why_left=''
    if [[ -n $most_submitted ]]; then
        room=$((most_submitted - in_queue)) why_left="this cluster lets you have $most_submitted in the queue, and that is full"
    fi
    if [[ $feed == yes && -n $room ]]; then room=$((room - ${LETHE_FEEDERS:-1})); fi   # for the job that goes on; behind a gate there are two
    if [[ -n $max_jobs && (-z $room || $((max_jobs - gate_new)) -lt $room) ]]; then
        room=$((max_jobs - gate_new)) why_left="no more than $max_jobs were to go in now"
        goes_on='Run this again: it goes on from there.'
    fi
}
room='' why_left='' goes_on=''

is_full() { [[ -n $room && $room -le 0 ]]; }
