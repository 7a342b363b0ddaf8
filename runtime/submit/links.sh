# shellcheck shell=bash disable=SC2004,SC2034,SC2154  # variables are shared with submit.sh; by job is no arithmetic
# Links: a training that takes longer than its time limit, where Slurm may not start a job again, goes in several times over, one
# behind the other. Each link starts when the one before has ended, and goes on from its checkpoint; one that is not needed any
# more ends at once. The last link is the job itself: who needs the job waits for that one. Of JOB, the others are JOB+1, JOB+2, …

declare -A links_of=()      # by job: how many there are, itself included
declare -A chain_of=()      # by job: the links before it

forge_links() { # forge_links JOB: the links before the last stand before it, and are jobs like any other
    local job=$1 number link before='' count=${links_of[$1]}
    for ((number = 1; number < count; number++)); do
        link=$job+$number
        jobs+=("$link")
        units+=("$link")
        fingerprint_of[$link]=${fingerprint_of[$job]} after_of[$link]=${after_of[$job]}
        ended_of[$link]=${ended_of[$job]}${before:+ $before} steps_of[$link]=${steps_of[$job]} array_of[$link]=''
        name_of[$link]=$study.${job/\//.}.${fingerprint_of[$job]:0:8}.$number
        job_of_name[${name_of[$link]}]=$link
        chain_of[$job]+=" $link"
        before=$link
    done
    ended_of[$job]+=" $before"
}

link_of() {     # link_of JOB: which link of how many it is, as in 2/3; nothing where there is one alone
    local job=${1%+*} count
    count=${links_of[$job]:-}
    [[ -z $count ]] || if [[ $1 == *+* ]]; then printf '%s/%s' "${1##*+}" "$count"; else printf '%s/%s' "$count" "$count"; fi
}

want_links() {  # who wants a job wants its links, and who wants a link wants the job
    local job link
    for job in "${!chain_of[@]}"; do
        for link in ${chain_of[$job]}; do
            [[ -z ${is_wanted[$link]:-} ]] || is_wanted[$job]=yes
        done
        [[ -z ${is_wanted[$job]:-} ]] || for link in ${chain_of[$job]}; do is_wanted[$link]=yes; done
    done
}

pass_ended_links() { # links that have ended, before one that is under way: that one goes on from what they left
    local job link number chain=()
    for job in "${!chain_of[@]}"; do
        read -r -a chain <<<"${chain_of[$job]} $job"
        for ((number = ${#chain[@]} - 1; number > 0; number--)); do
            ! is_active "${chain[number]}" || break
        done
        for link in "${chain[@]:0:number}"; do
            is_active "$link" || is_done[$link]=yes
        done
    done
}
