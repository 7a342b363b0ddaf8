# shellcheck shell=bash disable=SC2004,SC2034,SC2154  # variables are shared with submit.sh; by job is no arithmetic
# The ledger, which runtime/store/ledger.py describes, and the lock against a second submission of the study.

declare -A ledger_knows=() ledger_released=()   # by Slurm id
declare -A ledger_job=()                        # by Slurm id, or by an element's name: the job, if its fingerprint is the plan's
declare -A was_submitted=()                     # by job, with this fingerprint
declare -A ledger_size=()                       # by an array's id: how many of its elements stand in the ledger
declare -A submitters=()                        # the users who submitted this study into this store

record() {      # record EVENT [JOB SLURM_ID NOTE]...: one line a job, on disk before this returns
    local now event=$1 lines='' line
    shift
    TZ=UTC printf -v now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
    while (($#)); do
        printf -v line '%s\t%s\t%s\t%s\t%s\t%s' "$now" "$event" "$1" "${fingerprint_of[$1]}" "$2" "$3"
        lines+=$line$'\n'
        if [[ $event == submitted ]]; then
            note_submitted "$2"
            was_submitted[$1]=yes ledger_job[$2]=$1
        fi
        shift 3
    done
    printf '%s' "$lines" >>"$ledger"
    sync -- "$ledger"
}

note_submitted() {  # note_submitted SLURM_ID
    ledger_knows[$1]=yes
    [[ $1 != *_* ]] || ledger_size[${1%_*}]=$((${ledger_size[${1%_*}]:-0} + 1))
}

read_ledger() { # an empty column vanishes here: the name of an intent, which has no id, stands where the id would
    local event job fingerprint what note
    ledger=$store/ledger/$study.tsv
    [[ -s $ledger ]] || return 0
    while IFS=$'\t' read -r _ event job fingerprint what note; do
        case $event in
            submitted) note_submitted "$what"; [[ -z $note ]] || submitters[$note]=yes ;;
            released) ledger_released[$what]=yes; continue ;;
            intent) [[ -n $what ]] || continue ;;
            *) continue ;;
        esac
        [[ ${fingerprint_of[$job]:-} == "$fingerprint" ]] || continue
        ledger_job[$what]=$job
        [[ $event != submitted ]] || was_submitted[$job]=yes
    done <"$ledger"
}

open_ledger() { # folders, a lock against a second submission of this study, and a whole last line
    make_folders
    take_lock
    ledger=$store/ledger/$study.tsv
    if [[ -s $ledger && -n $(tail -c 1 -- "$ledger") ]]; then
        printf '\n' >>"$ledger"
    fi
}

make_folders() {
    mkdir -p -- "$store/ledger" "$store/logs/$study" ||
        fail 1 "cannot write below $store" 'Set LETHE_STORE to a folder that you may write to.'
}

# The lock is a file STUDY.lock.N, of which the highest N counts. It comes into being by ln, whole or not at all. A lock whose
# owner is gone is not removed, which two could do at a time, but followed by N+1, which only one can make; and whoever made
# one looks again whether another is there, and then gives way.

take_lock() {
    local mine=$store/ledger/.$study.$HOSTNAME.$$ waits=0
    printf '%s %s %s\n' "$HOSTNAME" "$$" "${own_job:--}" >"$mine"
    trap 'rm -f -- ${lock:+"$lock" "$store/ledger/.$study.stderr"} "$mine_lock"' EXIT
    mine_lock=$mine
    while ! try_lock "$mine"; do
        # a job that goes on by itself waits until whoever submits by hand is through
        if [[ -z $own_job || $waits -ge 100 ]]; then
            fail 1 "process ${lock_owner[1]:-?} on ${lock_owner[0]:-?} is submitting $study right now" \
                "Wait for it; if it is gone for good, remove ${lock_seen:-$store/ledger/$study.lock.*} and run this again."
        fi
        waits=$((waits + 1))
        sleep "$pause"
    done
}
lock_owner=() lock_seen='' mine_lock=''

try_lock() {    # try_lock FILE: makes the lock of FILE, unless somebody living has one
    local path message number=0 stale=()
    for path in "$store/ledger/$study.lock".*; do
        [[ -e $path ]] || continue
        ! is_alive "$path" || return 1
        stale+=("$path")
        [[ ${path##*.} -le $number ]] || number=${path##*.}
    done
    path=$store/ledger/$study.lock.$((number + 1))
    if ! message=$(ln -- "$1" "$path" 2>&1); then
        [[ -e $path ]] || fail 1 "cannot make the lock of $study: $message"
        is_alive "$path" || true
        return 1
    fi
    lock=$path
    for path in "$store/ledger/$study.lock".*; do
        if [[ -e $path && $path != "$lock" ]] && is_alive "$path"; then
            rm -f -- "$lock"
            lock=''
            return 1
        fi
    done
    [[ ${#stale[@]} -eq 0 ]] || rm -f -- "${stale[@]}"
}

is_alive() {    # is_alive LOCK: as far as can be told from here, its owner still runs
    lock_seen=$1 lock_owner=()
    { read -r -a lock_owner <"$1"; } 2>/dev/null || { [[ -e $1 ]]; return; }
    [[ ${lock_owner[0]} == "$HOSTNAME" ]] || return 0
    kill -0 "${lock_owner[1]}" 2>/dev/null
}
