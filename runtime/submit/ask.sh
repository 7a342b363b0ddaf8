# shellcheck shell=bash disable=SC2004,SC2034,SC2154  # variables are shared with submit.sh; by job is no arithmetic
# What changes nothing: --dry-run, and --test-only.

show_plan() {   # the sbatch lines, with {JOB} for an id that is not known yet
    local unit
    find_room
    for unit in "${units[@]}"; do
        if [[ $unit == */* ]]; then show_one "$unit"; else show_array "$unit"; fi
    done
    ((left_count == 0)) || say "submit: $left_count jobs would be left: $why_left"
}

show_one() {
    local job=$1 name=${name_of[$1]} command=()
    is_shown "$job" || return 0
    find_dependency "$job"
    sbatch_line "$job"
    show_command "${command[@]}"
    id_of[$job]="{$job}" is_new[$job]=yes
    [[ -z $room ]] || room=$((room - 1))
}

show_array() {
    local array=$1 shown="{$1}" name=$study.$1 job key keys=() command=()
    local -A batch=()
    for job in ${members_of[$array]}; do
        is_shown "$job" || continue
        [[ -z $room ]] || room=$((room - 1))
        find_dependency "$job"
        [[ -n ${batch[x$dependency]:-} ]] || keys+=("x$dependency")
        batch[x$dependency]+=" $job"
    done
    for key in "${keys[@]}"; do
        dependency=${key#x}
        # shellcheck disable=SC2086  # job ids, which hold no blanks
        sbatch_line ${batch[$key]}
        show_command "${command[@]}"
        for job in ${batch[$key]}; do
            id_of[$job]=${shown}_${index_of[$job]} is_new[$job]=yes
            ledger_size[$shown]=$((${ledger_size[$shown]:-0} + 1))
        done
    done
}

is_shown() {    # is_shown JOB: it would go in
    local job=$1
    [[ -n ${is_wanted[$job]:-} && -z ${is_done[$job]:-} ]] || return 1
    if is_active "$job"; then
        id_of[$job]=${queued_id[$job]}
        printf '# %s is under way: %s\n' "$job" "${id_of[$job]}"
        return 1
    fi
    if is_full || waits_for_left "$job"; then
        left_count=$((left_count + 1))
        return 1
    fi
}

waits_for_left() {
    local parent
    for parent in ${after_of[$1]} ${ended_of[$1]}; do
        [[ -n ${is_done[$parent]:-}${id_of[$parent]:-} || -z ${is_wanted[$parent]:-} ]] || return 0
    done
    return 1
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

ask_about_resources() { # sbatch --test-only for one job of each kind of resources; they differ in what their scripts ask for
    local job key keys=() answer refused=0
    local -A first=() count=()
    command -v sbatch >/dev/null || fail 1 'there is no sbatch here, so Slurm cannot be asked' \
        'Run this on a login node of the cluster.'
    for job in "${todo[@]}"; do
        key=$(resources "$job")
        [[ -n ${first[$key]:-} ]] || { keys+=("$key"); first[$key]=$job; }
        count[$key]=$((${count[$key]:-0} + 1))
    done
    for key in "${keys[@]}"; do
        printf '%s jobs such as %s\n  ask for  %s\n' "${count[$key]}" "${first[$key]}" "$key"
        if answer=$(sbatch --test-only --chdir="$root" --export=NONE "$here/jobs/${first[$key]%+*}.sh" 2>&1); then
            printf '  taken    %s\n' "${answer#sbatch: }"
        else
            explain "$answer"
            printf '  refused  %s\n           %s\n           %s\n' "${answer//$'\n'/$'\n           '}" "$cause" "$advice"
            refused=$((refused + 1))
        fi
    done
    say "$study: Slurm takes $((${#keys[@]} - refused)) of ${#keys[@]} kinds of jobs; nothing was submitted"
    ((refused == 0)) || exit 1
}

resources() {   # resources JOB: the directives of its script, without its name
    local line found=''
    while IFS= read -r line && [[ $line == '#'* || -z $line ]]; do
        [[ $line != '#SBATCH '* || $line == *--job-name=* ]] || found+=" ${line#\#SBATCH }"
    done <"$here/jobs/${1%+*}.sh"
    printf '%s' "${found# }"
}
