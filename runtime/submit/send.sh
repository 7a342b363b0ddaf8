# shellcheck shell=bash disable=SC2004,SC2034,SC2154  # variables are shared with submit.sh; by job is no arithmetic
# One job, or those of an array, into Slurm's queue.

longest=100000  # bytes of one --dependency; Linux takes 128 KiB as one argument
tries=4         # calls of one sbatch, where it is not answered

submit_one() {
    local job=$1 name command=()
    can_go_in "$job" || return 0
    find_dependency "$job"
    if is_active "$job"; then
        adopt "$job"
    elif is_full || ! is_short; then
        leave "$job"
    else
        name=${name_of[$job]}
        sbatch_line "$job"
        send "$job"
    fi
    show_progress
}

submit_array() { # those of its jobs that may go in, in one sbatch for each set of parents' ids: in most cases there is one
    local array=$1 job taken=0 key keys=()
    local -A batch=()
    for job in ${members_of[$array]}; do
        can_go_in "$job" || continue
        find_dependency "$job"
        if is_active "$job"; then
            adopt "$job"
        elif [[ -n $room && $taken -ge $room ]] || ! is_short; then
            leave "$job"
        else
            taken=$((taken + 1))
            [[ -n ${batch[x$dependency]:-} ]] || keys+=("x$dependency")
            batch[x$dependency]+=" $job"
        fi
    done
    for key in "${keys[@]}"; do
        # shellcheck disable=SC2086  # job ids, which hold no blanks
        send_batch "$array" "${key#x}" ${batch[$key]}
        show_progress
    done
}

send_batch() {  # send_batch ARRAY DEPENDENCY JOB...: in halves, where Slurm has room for some of it only
    local array=$1 job name members command=() half=$((($# - 1) / 2))
    dependency=$2
    shift 2
    members=("$@")
    if is_full; then
        for job; do leave "$job"; done
        return
    fi
    name=$study.$array
    sbatch_line "$@"
    send "$@" || {
        send_batch "$array" "$dependency" "${members[@]:0:half}"
        send_batch "$array" "$dependency" "${members[@]:half}"
    }
}

show_progress() {
    [[ ! -t 2 ]] || printf '\r%s: %d of %d' "$study" $((new_count + adopted_count)) ${#todo[@]} >&2
    [[ ! -t 2 || $((new_count + adopted_count)) -lt ${#todo[@]} ]] || printf '\r\033[K' >&2
}

can_go_in() {   # can_go_in JOB: it is wanted, and each job that it waits for is done, under way, or will never be; else says why
    local job=$1 parent
    [[ -z ${is_done[$job]:-} ]] || return 1
    note_unrecorded "$job"
    if [[ -z ${is_wanted[$job]:-} ]]; then
        ! is_active "$job" || mend_bystander "$job"
        return 1
    fi
    for parent in ${after_of[$job]} ${ended_of[$job]}; do
        if [[ -n ${is_given_up[$parent]:-} ]]; then
            [[ " ${after_of[$job]} " == *" $parent "* ]] || continue
            give_up "$job"
            blocked_count=$((blocked_count + 1))
            return 1
        elif [[ -z ${is_done[$parent]:-} && -z ${id_of[$parent]:-} && -n ${is_wanted[$parent]:-} ]]; then
            leave "$job"
            return 1
        fi
    done
    if [[ $only_new == yes && -n ${was_submitted[$job]:-} ]] && ! is_active "$job"; then
        give_up "$job"
        failed_count=$((failed_count + 1))
        return 1
    fi
}

mend_bystander() { # a job that was not asked for, but may wait for one that goes in again
    local parent
    id_of[$1]=${queued_id[$1]}
    for parent in ${after_of[$1]}; do
        [[ -n ${is_done[$parent]:-}${id_of[$parent]:-} ]] || return 0
    done
    find_dependency "$1"
    mend "$1"
}

give_up() { is_given_up[$1]=yes; }

leave() {       # leave JOB: for a later run. One that is under way, but whose new parents are not, stays as it is
    if is_active "$1"; then
        id_of[$1]=${queued_id[$1]}
        adopted_count=$((adopted_count + 1))
    else
        left_count=$((left_count + 1))
    fi
}

note_unrecorded() { # an earlier run was cut off between sbatch and its ledger line: write that line now
    local number=${queued_id[$1]:-}
    [[ -z $number || -n ${ledger_knows[$number]:-} ]] || record submitted "$1" "$number" "$me"
}

adopt() {       # adopt JOB: it is queued or running; mend its dependencies, or its hold, if an earlier run could not
    local job=$1 id=${queued_id[$1]}
    mend "$job"
    if [[ ${queued_reason[$job]} == JobHeldUser && -z ${ledger_released[$id]:-} ]]; then
        held+=("$job")
    fi
    id_of[$job]=$id
    adopted_count=$((adopted_count + 1))
}

mend() {        # mend JOB: give it its new parents where it has not got them; scontrol changes one element of an array
    local id=${queued_id[$1]} new=$dependency array
    [[ ${queued_state[$1]} == PD ]] && is_stale "$1" || return 0
    while [[ $new =~ aftercorr((:[0-9]+)+) ]]; do
        array=${BASH_REMATCH[1]//:/:}
        new=${new/"aftercorr$array"/"afterok${array//:/_${index_of[$1]}:}_${index_of[$1]}"}
        new=${new/"afterok_${index_of[$1]}:"/afterok:}
    done
    scontrol update "jobid=$id" "dependency=$new" || stop_half_way "scontrol could not give $1 ($id) its new parents"
    record updated "$1" "$id" ''
}

is_stale() {    # is_stale JOB: it waits for a job that failed, or does not wait for one that it needs
    local number old=${queued_dependency[$1]}
    [[ $old != *'(failed)'* ]] || return 0
    for number in ${dependency//[!0-9_]/ }; do
        [[ $old =~ (^|[^0-9_])$number([^0-9]|$) ]] || return 0
    done
    return 1
}

sbatch_line() { # sbatch_line JOB...: sets the caller's `command`; reads $name and $dependency; on hold, unless it waits for new jobs
    local job=$1 base=${1%+*} script log list='' link
    script=$here/jobs/$base.sh log=${base/\//.}-%j link=$(link_of "$job")
    if [[ -n ${array_of[$job]} ]]; then
        script=$here/arrays/${array_of[$job]}.sh log=${array_of[$job]}-%A_%a
        for job; do list+=,${index_of[$job]}; done
    fi
    command=(sbatch --parsable --job-name="$name" --comment="$store" --chdir="$root" --export="$exported${link:+,LETHE_LINK=$link}"
        --output="${store//%/%%}/logs/$study/$log.out")
    [[ -z $list ]] || command+=(--array="$(ranges "${list#,}")${at_once:+%$at_once}")
    [[ -z $dependency ]] || command+=(--dependency="$dependency")
    [[ -z $dependency || $kill_on_invalid_dep != yes ]] || command+=(--kill-on-invalid-dep=yes)
    waits_for_new "$1" || command+=(--hold)
    command+=("$script")
}

ranges() {      # ranges 0,1,2,5: as sbatch reads and squeue shows them: 0-2,5
    local number first='' last='' found=''
    for number in ${1//,/ } end; do
        if [[ -n $last && $number != end && $number -eq $((last + 1)) ]]; then
            last=$number
            continue
        fi
        [[ -z $first ]] || found+=,$first
        [[ $first == "$last" ]] || found+=-$last
        first=$number last=$number
    done
    printf '%s' "${found#,}"
}

waits_for_new() {
    local parent
    for parent in ${after_of[$1]} ${ended_of[$1]}; do
        [[ -z ${is_new[$parent]:-} ]] || return 0
    done
    return 1
}

# ---- dependencies -------------------------------------------------------------------------------------------------------

find_dependency() { # find_dependency JOB: sets $dependency; a parent that is done, or will not be, needs none
    local job=$1 parent ok='' any='' same=''
    for parent in ${after_of[$job]}; do
        if [[ -n ${is_done[$parent]:-} ]]; then continue; fi
        if [[ -n ${array_of[$job]} && ${id_of[$parent]} == *"_${index_of[$job]}" ]] && ! is_shared "$job" "$parent"; then
            same+=:${id_of[$parent]%_*}
        else
            ok+=" ${id_of[$parent]}"
        fi
    done
    for parent in ${ended_of[$job]}; do
        [[ -n ${is_done[$parent]:-} || -z ${id_of[$parent]:-} ]] || any+=" ${id_of[$parent]}"
    done
    # shellcheck disable=SC2086  # ids
    ok=$(joined $ok) any=$(joined $any)
    [[ -n $same$ok || -z $gate_id ]] || ok=:$gate_id    # else it would start before the gate, or although that failed
    dependency=${same:+,aftercorr$same}${ok:+,afterok$ok}${any:+,afterany$any}
    dependency=${dependency#,}
}

is_shared() {   # is_shared JOB PARENT: each job of the array has that parent, not only the one with its index
    local array=${array_of[$1]} member
    if [[ -z ${shared_of[$array $2]:-} ]]; then
        shared_of[$array $2]=yes
        for member in ${members_of[$array]}; do
            [[ " ${after_of[$member]} " == *" $2 "* ]] || shared_of[$array $2]=no
        done
    fi
    [[ ${shared_of[$array $2]} == yes ]]
}
declare -A shared_of=()     # by array and parent

joined() {      # joined ID...: with a colon before each; all elements of an array are the array
    local number array found=''
    local -A elements=()
    for number; do
        [[ $number != *_* ]] || elements[${number%_*}]=$((${elements[${number%_*}]:-0} + 1))
    done
    for number; do
        array=${number%_*}
        if [[ $number != *_* || ${elements[$array]} -ne $(size "$array") ]]; then
            found+=:$number
        elif [[ $found: != *":$array:"* ]]; then
            found+=:$array
        fi
    done
    printf '%s' "$found"
}

size() {        # size ARRAY_ID: how many elements it has, as far as anything tells
    local known=${ledger_size[$1]:-0} seen=${size_of[$1]:-0}
    printf '%s' $((known > seen ? known : seen))
}

is_short() {
    [[ ${#dependency} -le $longest ]] && return
    why_left=${why_left:-'some wait for more jobs than one sbatch can name'}
    return 1
}

# ---- sbatch -------------------------------------------------------------------------------------------------------------

send() {        # send JOB...: runs `command` for one job, or for an array's; fails where they do not fit into the queue together
    local job number words=()
    for job; do words+=("$job" '' "${array_of[$job]:+${name}_${index_of[$job]}}"); done
    record intent "${words[@]}"
    if ! call_sbatch "$1"; then
        [[ $# -eq 1 ]] || return 1
        room=0
        leave "$1"
        return
    fi
    words=()
    for job; do
        number=$id${array_of[$job]:+_${index_of[$job]}}
        words+=("$job" "$number" "$me")
        id_of[$job]=$number is_new[$job]=yes
    done
    record submitted "${words[@]}"
    [[ " ${command[*]} " != *' --hold '* ]] || held+=("$@")
    new_ids+=("$id")
    new_count=$((new_count + $#))
    [[ -z $room ]] || room=$((room - $#))
}

call_sbatch() { # call_sbatch JOB: sets $id; fails where the queue is full. Where no answer came, Slurm is asked before it is tried again
    local job=$1 try message errors=$store/ledger/.$study.stderr
    for ((try = 1; ; try++)); do
        if id=$("${command[@]}" 2>"$errors"); then
            [[ ! -s $errors ]] || cat -- "$errors" >&2
            id=${id%%;*}
            [[ $id =~ ^[0-9]+$ ]] || stop_half_way "sbatch answered '$id' for $job, which is no job id"
            return
        fi
        message=$(<"$errors")
        explain "$message"
        case $sort in
            full)
                why_left=$cause
                return 1 ;;
            passing)
                doubtful=yes
                say "submit: $job: ${message##*$'\n'} (try $try of $tries)"
                [[ $try -lt $tries ]] || break ;;
            *) break ;;
        esac
        sleep "$pause"
        if find_arrived; then
            say "submit: $job had arrived all the same, as $id"
            return
        fi
    done
    # shellcheck disable=SC2154  # explain sets them
    stop_half_way "sbatch did not take $job: $cause" "Slurm's words: ${message//$'\n'/$'\n'        }" "$advice"
}

find_arrived() { # asks whether Slurm knows a job of $name that we do not, and sets $id; it may still be about to take it, so
    # that only two answers are an answer
    local try lines number state comment no=0
    for ((try = 1; try <= tries; try++)); do
        if lines=$(squeue --noheader --array --states=all --user="$me" --name="$name" --format='%i|%t|%k'); then
            while IFS='|' read -r number state comment; do
                [[ -n $number ]] || continue
                ! has_ended "$state" || continue
                [[ $comment == "$store" && -z ${ledger_knows[$number]:-} ]] || continue
                id=${number%_*}
                return
            done <<<"$lines"
            ((++no < 2)) || return 1
        fi
        sleep "$pause"
    done
    ((no == 0)) || return 1
    stop_half_way "nobody knows whether $name arrived: neither sbatch nor squeue got an answer"
}

release_held() {
    local job numbers='' words=() number
    local -A seen=() count=()
    [[ ${#held[@]} -gt 0 ]] || return 0
    for job in "${held[@]}"; do
        number=${id_of[$job]}
        words+=("$job" "$number" '')
        [[ $number != *_* ]] || count[${number%_*}]=$((${count[${number%_*}]:-0} + 1))
    done
    for job in "${held[@]}"; do     # an array as one, where all of it is held by us
        number=${id_of[$job]}
        [[ $number != *_* || ${count[${number%_*}]} -ne $(size "${number%_*}") ]] || number=${number%_*}
        [[ -n ${seen[$number]:-} ]] || numbers+=,$number
        seen[$number]=yes
        [[ ${#numbers} -lt $longest ]] || { release "$numbers"; numbers=''; }
    done
    [[ -z $numbers ]] || release "$numbers"
    record released "${words[@]}"
}

release() {
    scontrol release "${1#,}" || stop_half_way 'everything is submitted, but scontrol could not release the first jobs'
}
