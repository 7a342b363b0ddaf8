#!/usr/bin/env bash
# Submits a compiled study: bash generated/submit_all.sh [STUDY] [OPTIONS]. With one study here, no name is needed.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
studies=()
for plan in "$here"/*/plan.json; do
    [[ -e $plan ]] && studies+=("$(basename -- "$(dirname -- "$plan")")")
done
if [[ ${#studies[@]} -eq 0 ]]; then
    echo "submit_all: no study is compiled here. First: lethe compile specs/micro.yaml" >&2
    exit 1
fi
if [[ $# -gt 0 && $1 != -* ]]; then
    study=$1
    shift
elif [[ ${#studies[@]} -eq 1 ]]; then
    study=${studies[0]}
else
    echo "submit_all: several studies are compiled here; name one: ${studies[*]}" >&2
    exit 1
fi
if [[ ! -e $here/$study/submit_all.sh ]]; then
    echo "submit_all: there is no study '$study' here; there are: ${studies[*]}" >&2
    exit 1
fi
exec bash "$here/$study/submit_all.sh" "$@"
