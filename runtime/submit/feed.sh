# shellcheck shell=bash disable=SC2004,SC2034,SC2154  # variables are shared with submit.sh; by job is no arithmetic
# --feed: a small job in Slurm's queue that runs submit_all.sh again when there is room, so that nothing has to wait here.

feed_later() {
    local command=() pattern
    goes_on='A job in the queue goes on by itself when there is room.'
    if [[ -n $feeder ]]; then
        goes_on="Job $feeder goes on by itself when there is room."
        return
    fi
    find_what_ends
    command=(sbatch --parsable --job-name="$study.feed" --comment="$store" --chdir="$root" --export="$exported"
        --output="${store//%/%%}/logs/$study/feed-%j.out" ${dependency:+--dependency="$dependency"} "$here/feed.sh")
    for pattern in "${patterns[@]}"; do command+=(--select="$pattern"); done
    [[ -z $max_jobs ]] || command+=(--max-jobs="$max_jobs")
    local name=$study.feed
    if call_sbatch "the job that goes on by itself"; then
        goes_on="Job $id goes on by itself when there is room."
    else
        goes_on='The job that would go on by itself does not fit into the queue: run this again when some have ended.'
    fi
}

find_what_ends() {  # sets $dependency: that there is room again. What waits for others may never end; half of what does not, will
    local job parent free ending=() numbers=()
    if [[ $gate_left == yes ]]; then
        dependency=afterany:$gate_feeder
        return
    fi
    for job in "${jobs[@]}"; do
        [[ -n ${id_of[$job]:-} ]] || continue
        free=yes
        for parent in ${after_of[$job]} ${ended_of[$job]}; do
            [[ -n ${is_done[$parent]:-} || -z ${id_of[$parent]:-} ]] || free=no
        done
        [[ $free == no && $kill_on_invalid_dep != yes ]] || ending+=("${id_of[$job]}")
    done
    numbers=("${ending[@]:0:(${#ending[@]} + 1) / 2}")
    dependency=$(joined "${numbers[@]}")
    dependency=${dependency:+afterany$dependency}
    [[ ${#dependency} -le $longest ]] || dependency=afterany:${numbers[-1]}
}
