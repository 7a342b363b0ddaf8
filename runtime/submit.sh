# shellcheck shell=bash
# What every generated submit_all.sh is made of. Needs bash 4, coreutils and, under Slurm, Slurm's own clients.
#
#   open_plan "$@"                                  reads the options; refuses a generated tree that somebody edited
#   submit JOB FINGERPRINT [in ARRAY INDEX] [links N] [steps N...] [after P...] [ended P...]
#                                                   one job: it starts when all P of `after` succeeded and all of `ended` ended;
#                                                   it is done when its done-marker and the checkpoints of all steps N are there.
#                                                   Jobs `in` one array go in as one sbatch --array of arrays/ARRAY.sh; a job
#                                                   with `links` goes in N times, each when the one before has ended
#   gate STUDY                                      nothing of the plan starts before that study's report is done
#   close_plan                                      submits what is neither done nor under way, or runs it here
#
# The sourcing script sets study, executor (slurm or local), store, root, here, and may set kill_on_invalid_dep=yes,
# most_submitted (jobs that one user may have in the queue) and at_once (elements of an array that run at a time).
#
# No job is submitted twice, wherever an earlier run was interrupted: a job's name carries its fingerprint and so is unique;
# a line of intent stands in the ledger before each sbatch and the id after it; and one squeue call tells which of the names
# Slurm knows, whatever the ledger says (each job's comment names its store, so that another store's are not taken for
# ours). New jobs whose parents are not new wait on hold until all that may go in is in. The ledger's columns are described in
# runtime/store/ledger.py.
#
# submit/ledger.sh   the ledger, and the lock against a second submission      submit/send.sh     one job, or an array of them
# submit/queue.sh    what Slurm knows of our jobs                              submit/explain.sh  what sbatch's refusals mean
# submit/ask.sh      --dry-run and --test-only, which change nothing           submit/feed.sh     a job that goes on by itself
# submit/here.sh     this machine, without Slurm                              submit/gate.sh     a study that comes first
# submit/links.sh    trainings that take longer than one job may
set -euo pipefail

if ((BASH_VERSINFO[0] < 4)); then
    printf 'submit: this is bash %s; Lethe needs bash 4 or newer\n' "$BASH_VERSION" >&2
    exit 1
fi

: "${study?}" "${executor?}" "${store?}" "${root?}" "${here?}"
kill_on_invalid_dep=${kill_on_invalid_dep:-no} most_submitted=${most_submitted:-} at_once=${at_once:-}

dry_run=no assume_yes=no force=no test_only=no feed=no only_new=no max_jobs='' ledger=''
patterns=()
total=0 done_count=0 adopted_count=0 new_count=0 left_count=0 failed_count=0 blocked_count=0
lock='' id='' dependency='' exported=''
jobs=() units=() todo=() held=() new_ids=()     # a unit is a job, or an array of jobs
declare -A fingerprint_of=() name_of=() after_of=() ended_of=() steps_of=() array_of=() index_of=()     # by job
declare -A members_of=()                                                # by array
declare -A job_of_name=()                                               # by Slurm's name, with _INDEX for an element
declare -A is_wanted=() is_done=() is_new=() id_of=() is_given_up=()    # by job, in this run

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
Usage: bash $0 [--dry-run] [--yes] [--select PATTERN]... [--max-jobs N] [--feed] [--test-only] [--force]

Submits every job of study $study that is neither done nor under way, in dependency order (executor: $executor).
Run it again at any time: after an interruption it goes on, after a failure it submits what failed again.

  --dry-run         print what would be submitted; change nothing
  --yes             do not ask before submitting
  --select PATTERN  only jobs whose id matches, such as 'train/*_math_*', and what they still need; may be repeated
  --max-jobs N      submit at most N jobs now, those first that others wait for
  --feed            when not all fits into the queue: submit a small job, too, that goes on when there is room
  --only-new        leave alone what was submitted before and failed, and what needs it
  --test-only       ask Slurm about one job of each kind of resources whether it would take it; submit nothing
  --force           go on although generated files were changed by hand
  --help            this text

Store: $store    (set LETHE_STORE to use another folder)
Exit codes: 0 all submitted, or all run; 1 nothing was submitted, or a job failed here; 4 submitted in part: run it again.
HELP
}

# ---- reading the plan ---------------------------------------------------------------------------------------------------

open_plan() {
    read_options "$@"
    case $executor in
        slurm) ;;
        local)
            [[ $test_only$feed$max_jobs == nono ]] ||
                fail 1 "--test-only, --feed and --max-jobs are for Slurm; $study runs on this machine" ;;
        *) fail 1 "executor is '$executor'; it must be slurm or local" ;;
    esac
    find_store
    check_files
}

read_options() {
    while (($#)); do
        case $1 in
            --dry-run) dry_run=yes ;;
            --yes | -y) assume_yes=yes ;;
            --force) force=yes ;;
            --feed) feed=yes ;;
            --only-new) only_new=yes ;;
            --test-only) test_only=yes ;;
            --select=*) patterns+=("${1#*=}") ;;
            --max-jobs=*) max_jobs=${1#*=} ;;
            --select | --max-jobs)
                (($# > 1)) || fail 1 "$1 needs a value" "For example: bash $0 --select 'train/*' --max-jobs 10"
                set -- "$1=$2" "${@:3}"
                continue ;;
            --help | -h) usage; exit 0 ;;
            *) fail 1 "unknown option $1" 'The options are --dry-run, --yes, --select, --max-jobs, --feed, --only-new, --test-only,' \
                '--force and --help.' ;;
        esac
        shift
    done
    [[ -z $max_jobs || $max_jobs =~ ^[1-9][0-9]{0,8}$ ]] || fail 1 "--max-jobs $max_jobs: it is a number of jobs, at least 1"
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
    [[ -z ${fingerprint_of[$job]:-} ]] || senseless "$job stands twice"
    [[ -r $here/jobs/$job.sh ]] || fail 1 "$here/jobs/$job.sh is missing" 'Compile the study again.'
    fingerprint_of[$job]=$2 after_of[$job]='' ended_of[$job]='' steps_of[$job]='' array_of[$job]='' index_of[$job]=''
    shift 2
    for word; do
        case $list:$word in
            *:in | *:after | *:ended | *:steps | *:links) list=$word ;;
            links:1 | links:*[!0-9]*) senseless "$job: '$word' is no number of links" ;;
            links:*) [[ $executor != slurm ]] || links_of[$job]=$word; list=none ;;
            in:*) array_of[$job]=$word list=index ;;
            index:*[!0-9]*) senseless "$job: '$word' is no index of an array" ;;
            index:*) index_of[$job]=$word list=none ;;
            steps:*[!0-9]*) senseless "$job: '$word' is no step" ;;
            steps:*) steps_of[$job]+=" $word" ;;
            after:*) need_known "$job" "$word"; after_of[$job]+=" $word" ;;
            ended:*) need_known "$job" "$word"; ended_of[$job]+=" $word" ;;
            *) senseless "$job: '$word' stands before in, links, steps, after or ended" ;;
        esac
    done
    [[ -z ${links_of[$job]:-} ]] || forge_links "$job"
    jobs+=("$job")
    if [[ -z ${array_of[$job]} ]]; then
        units+=("$job")
        name_of[$job]=$study.${job/\//.}.${fingerprint_of[$job]:0:8}
        job_of_name[${name_of[$job]}]=$job
    else
        join_array "$job" "${array_of[$job]}" "${index_of[$job]}"
    fi
}

join_array() {  # join_array JOB ARRAY INDEX: the elements of an array stand together, and none waits for another
    local job=$1 array=$2 index=$3 parent
    [[ -n $index ]] || senseless "$job has no index in $array"
    [[ -r $here/arrays/$array.sh ]] || fail 1 "$here/arrays/$array.sh is missing" 'Compile the study again.'
    if [[ -z ${members_of[$array]:-} ]]; then
        units+=("$array")
    elif [[ ${units[-1]} != "$array" ]]; then
        senseless "the jobs of $array do not stand together"
    fi
    for parent in ${after_of[$job]} ${ended_of[$job]}; do
        [[ ${array_of[$parent]} != "$array" ]] || senseless "$job waits for $parent, which is in the same array"
    done
    name_of[$job]=$study.$array
    [[ -z ${job_of_name[$study.${array}_$index]:-} ]] || senseless "two jobs have index $index in $array"
    job_of_name[$study.${array}_$index]=$job
    members_of[$array]+=" $job"
}

need_known() {  # need_known JOB PARENT
    [[ -n ${fingerprint_of[$2]:-} ]] || senseless "$1 comes before $2, which it needs"
}

senseless() { fail 1 "$1, in $0" 'Compile the study again.'; }

close_plan() {
    select_jobs
    sort_out_done
    [[ ${#todo[@]} -eq 0 || -z $gate || $test_only == yes ]] || pass_gate
    if [[ ${#todo[@]} -eq 0 ]]; then
        say "nothing to do: $total jobs are done"
    elif [[ $executor == slurm ]]; then
        run_on_slurm
    else
        run_here
    fi
}

select_jobs() { # marks what is wanted: all, or what the patterns choose and what that needs and has not yet
    local job pattern found number parent
    if [[ ${#patterns[@]} -eq 0 ]]; then
        for job in "${jobs[@]}"; do is_wanted[$job]=yes; done
        return
    fi
    for pattern in "${patterns[@]}"; do
        found=no
        for job in "${jobs[@]}"; do
            # shellcheck disable=SC2053  # it is a pattern
            if [[ $job == $pattern ]]; then is_wanted[$job]=yes found=yes; fi
        done
        [[ $found == yes ]] || fail 1 "--select '$pattern': no job of $study has such an id" \
            "An id is KIND/NAME, such as ${jobs[0]} or ${jobs[-1]}; in a pattern, * ? and [] stand for parts of it."
    done
    for ((number = ${#jobs[@]} - 1; number >= 0; number--)); do
        job=${jobs[number]}
        if [[ -n ${is_wanted[$job]:-} ]] && ! has_ended_well "$job"; then
            for parent in ${after_of[$job]}; do is_wanted[$parent]=yes; done
        fi
    done
    want_links
}

sort_out_done() { # sets is_done (of what is not wanted, too: nothing waits for it), todo and the counts
    local job
    todo=() done_count=0 total=0
    for job in "${jobs[@]}"; do
        [[ -n ${is_done[$job]:-} ]] || ! has_ended_well "$job" || is_done[$job]=yes
        [[ -n ${is_wanted[$job]:-} ]] || continue
        total=$((total + 1))
        if [[ -n ${is_done[$job]:-} ]]; then done_count=$((done_count + 1)); else todo+=("$job"); fi
    done
}

has_ended_well() {  # has_ended_well JOB: its done-marker is there, and so are the checkpoints that other jobs need
    local step missing='' out=$store/${1%+*}-${fingerprint_of[$1]:0:12}
    [[ -e $out/DONE.json ]] || return 1
    for step in ${steps_of[$1]}; do
        [[ -d $out/steps/$step ]] || missing+=" $step"
    done
    [[ -n $missing ]] || return 0
    [[ -n ${is_lacking[${1%+*}]:-} ]] || say "submit: ${1%+*} is done, but kept no checkpoint of step$missing: it is trained again"
    is_lacking[${1%+*}]=yes
    return 1
}
declare -A is_lacking=()    # by job: that it is trained again was said

# ---- submitting ---------------------------------------------------------------------------------------------------------

run_on_slurm() {
    local unit
    scrub_environment
    if [[ $test_only == yes ]]; then
        ask_about_resources
        return
    elif [[ $dry_run == yes ]]; then
        read_ledger
        ! command -v squeue >/dev/null || read_queue ||
            say 'submit: squeue could not tell what is queued already; shown as if nothing were'
        pass_ended_links
        find_gate
        show_plan
        return
    fi
    need_slurm
    open_ledger         # first the lock, then the questions: what another submission does until then is seen
    read_ledger
    read_queue || fail 1 'squeue could not tell what is queued already; its message is above' \
        'Nothing was submitted. Run this again later.'
    pass_ended_links
    sort_out_done
    find_gate
    confirm
    trap 'interrupted' INT TERM HUP
    withdraw_doubles
    find_room
    for unit in "${units[@]}"; do
        if [[ $unit == */* ]]; then submit_one "$unit"; else submit_array "$unit"; fi
    done
    [[ $doubtful == no ]] || look_for_doubles
    [[ $feed == no || $left_count -eq 0 ]] || feed_later
    release_held
    sum_up
}

sum_up() {
    say "$study: $new_count jobs submitted, $adopted_count already queued or running, $done_count done, of $total"
    if ((failed_count + blocked_count)); then
        say "submit: $failed_count failed before and were left alone, with $blocked_count that need them; without --only-new they go in again"
    fi
    if ((left_count)); then
        say "submit: $left_count jobs are left: $why_left. ${goes_on:-Run this again when some have ended: it goes on from there.}"
        exit 4
    fi
}

stop_half_way() {   # stop_half_way WHAT [WHY...]
    [[ ! -t 2 ]] || printf '\n' >&2
    if [[ $((new_count + adopted_count)) -eq 0 ]]; then
        fail 1 "$@" 'No job of this study is queued. Mend the cause, then run this again.'
    fi
    fail 4 "$@" "$((new_count + adopted_count)) of ${#todo[@]} jobs are queued; the ${#held[@]} new ones that could start are on hold." \
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
        ! is_active "$job" || active=$((active + 1))
    done
    printf '%s: %d jobs, %d done, %d queued or running. Submit %d to Slurm? [y/N] ' \
        "$study" "$total" "$done_count" "$active" $((${#todo[@]} - active)) >&2
    read -r answer || answer=
    [[ $answer == [yY]* ]] || fail 1 'nothing was submitted'
}

parts=${BASH_SOURCE[0]%/*}/submit
# shellcheck source=runtime/submit/ledger.sh
. "$parts/ledger.sh"
# shellcheck source=runtime/submit/queue.sh
. "$parts/queue.sh"
# shellcheck source=runtime/submit/links.sh
. "$parts/links.sh"
# shellcheck source=runtime/submit/send.sh
. "$parts/send.sh"
# shellcheck source=runtime/submit/explain.sh
. "$parts/explain.sh"
# shellcheck source=runtime/submit/ask.sh
. "$parts/ask.sh"
# shellcheck source=runtime/submit/feed.sh
. "$parts/feed.sh"
# shellcheck source=runtime/submit/here.sh
. "$parts/here.sh"
# shellcheck source=runtime/submit/gate.sh
. "$parts/gate.sh"
