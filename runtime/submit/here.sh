# shellcheck shell=bash disable=SC2004,SC2034,SC2154  # variables are shared with submit.sh; by job is no arithmetic
# This machine, without Slurm: a list of what to do, for `python -m runtime local`.

run_here() {
    local job python=$root/.venv/bin/python list=$store/ledger/$study.todo
    if [[ $dry_run == yes ]]; then
        for job in "${todo[@]}"; do
            show_command bash "$here/jobs/$job.sh"
        done
        return
    fi
    [[ -x $python ]] || python=python3
    make_folders
    for job in "${todo[@]}"; do
        # shellcheck disable=SC2086  # lists of job ids, which hold no blanks
        printf '%s\t%s\t%s\t%s\t%s\n' "$job" "${fingerprint_of[$job]}" \
            "$(unfinished ${after_of[$job]})" "$(unfinished ${ended_of[$job]})" "${steps_of[$job]# }"
    done >"$list"
    cd -- "$root" || exit
    exec "$python" -m runtime local --study="$study" --generated="$here" --store="$store" --done="$done_count" "$list"
}

unfinished() {  # unfinished PARENT...: those of them that are wanted and not done yet
    local parent words=()
    for parent; do
        [[ -n ${is_done[$parent]:-} || -z ${is_wanted[$parent]:-} ]] || words+=("$parent")
    done
    printf '%s' "${words[*]-}"
}
