"""The floor: a plain Python program that parses values, puts them into the forms that it has, and writes and hashes the files.

    python benchmarks/floor.py TABLE FOLDER

TABLE is what benchmarks/table.py makes of a compiled folder: in its first line the forms, and then a line a file. The program
decides nothing, checks nothing and imports next to nothing, and its files are byte for byte the compiled ones: a compiler
that is written in Python and writes every file cannot take much less.
"""

import hashlib
import json
import os
import sys


def main() -> None:
    table, folder = sys.argv[1:]
    sums, places = [], set()
    with open(table, encoding="utf-8") as lines:
        forms = json.loads(next(lines))
        for line in lines:
            name, *parts = json.loads(line)
            data = "".join([forms[form] % tuple(values) for form, values in parts]).encode()
            place = os.path.dirname(f"{folder}/{name}")
            if place not in places:
                os.makedirs(place, exist_ok=True)
                places.add(place)
            with open(f"{folder}/{name}", "wb", buffering=0) as file:
                file.write(data)
            sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
    with open(f"{folder}/manifest.sha256", "w") as file:
        file.writelines(sums)


if __name__ == "__main__":
    main()
