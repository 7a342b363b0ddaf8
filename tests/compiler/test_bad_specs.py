"""A mistake in a spec or its catalog: one message with the file, the line, the column, the source line and what to do.

Every row is edits of the toy project (file, old, new), the message, the text under which the caret stands, and the hint.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.compiler.project import Project

SPEC = "toy.yaml"
RECIPES, PLACES, SUBJECTS = "catalog/recipes.yaml", "catalog/places.yaml", "catalog/subjects.yaml"


@dataclass(frozen=True)
class Mistake:
    """One edit, and all that is said about it. `at` begins what the caret points to."""

    file: str
    old: str
    new: str
    message: str
    at: str
    hint: str = ""
    where: str = ""  # the file that the message names, when it is another one


NAME = "is no plain name: letters, digits, '_', '-' and '.', beginning with a letter or digit"

MISTAKES = {
    # unknown keys, at every depth
    "key of the study": Mistake(SPEC, "about: Four", "abuot: Four", "unknown key 'abuot'", "abuot", "did you mean 'about'?"),
    "key without a near one": Mistake(
        SPEC, "tracking:", "banana: 1\ntracking:", "unknown key 'banana'", "banana",
        "valid here: about, accept, axes, budget, canary, catalog, cluster, define, evaluate, from, match, name, rules, study, "
        "tracking, zip"),
    "axis": Mistake(SPEC, "  domain: [s", "  domian: [s", "unknown key 'domian' in 'axes'", "domian",
        "did you mean 'domain'?"),
    "key of a rule": Mistake(
        SPEC, "    why: facts", "    wy: facts", "unknown key 'wy' in 'rules.1'", "wy", "did you mean 'why'?"),
    "axis in a rule": Mistake(
        SPEC, "where: {method: staged,", "where: {metod: staged,", "rule 'staged_from_base_only': there is no axis 'metod'",
        "metod",
        "did you mean 'method'?"),
    "key of a stage": Mistake(
        RECIPES, "stages: [{algorithm: sft, dataset: truth}]", "stages: [{algorithm: sft, data: truth}]",
        "unknown key 'data' in 'stages.0'", "data: truth", "did you mean 'dataset'?"),
    "key of a pretraining": Mistake(
        SUBJECTS, "          start: base", "          begin: base", "unknown key 'begin' in 'starts.safe.pretrain'", "begin",
        "valid here: domains, resources, settings, start"),
    "key of resources": Mistake(
        PLACES, "train: {time: 2:00:00, cpus: 1", "train: {time: 2:00:00, cpu: 1", "unknown key 'cpu' in 'resources.train'",
        "cpu: 1", "did you mean 'cpus'?"),
    "setting of an algorithm": Mistake(
        RECIPES, "      loss_type: nll", "      los_type: nll", "unknown key 'los_type' in the settings of algorithm sft",
        "los_type", "did you mean 'loss_type'?"),
    "setting of a domain for an algorithm": Mistake(
        SUBJECTS, "sft: {max_length: 64}", "sft: {max_lenght: 64}",
        "unknown key 'max_lenght' in the settings of algorithm sft",
        "max_lenght", "did you mean 'max_length'?"),
    "setting of a method": Mistake(
        RECIPES, "          lr: 2e-5", "          lrs: 2e-5", "unknown key 'lrs' in the settings of algorithm grpo", "lrs",
        "did you mean 'lr'?"),
    "setting of a rule": Mistake(
        SPEC, "        lr: 5e-4", "        seeed: 2", "unknown key 'seeed' in the settings of algorithm sft", "seeed",
        "did you mean 'seed'?"),
    "setting in a mapping": Mistake(
        SUBJECTS, "model: {architecture: qwen3, layers: 1,", "model: {architecture: qwen3, layer: 1,",
        "unknown key 'layer' in the settings of start base of scale nano",
        "layer", "did you mean 'layers'?"),
    "execution of an algorithm": Mistake(
        RECIPES, "      save_steps: null", "      saving_steps: 3",
        "unknown key 'saving_steps' in the execution of algorithm grpo", "saving_steps", "did you mean 'save_steps'?"),
    "section of define": Mistake(
        SPEC, "tracking:", "define: {method: {}}\ntracking:", "unknown section 'method'", "method",
        "did you mean 'methods'?"),
    "section of the catalog": Mistake(
        PLACES, "clusters:", "cluster:", "unknown section 'cluster'", "cluster", "did you mean 'clusters'?"),
    "axis that must be there": Mistake(
        SPEC, "  method: [gt", "  methd: [gt", "unknown key 'methd' in 'axes'", "methd", "did you mean 'method'?"),
    "key of how a start is asked": Mistake(
        SUBJECTS, "revision: main, prompt: {template: plain,", "revision: main, prompt: {templte: plain,",
        "unknown key 'templte' in 'starts.base.prompt'", "templte", "did you mean 'template'?"),
    "key of evaluated checkpoints": Mistake(
        SPEC, "  suites: [skills, harm]", "  suites: [skills, harm]\n  checkpoints: {stps: [5]}",
        "unknown key 'stps' in 'evaluate.checkpoints'", "stps", "did you mean 'steps'?"),
    "extends": Mistake(
        PLACES, "    extends: here", "    extend: here", "unknown key 'extend'", "extend", "did you mean 'extends'?"),
    "setting of what no study uses": Mistake(
        RECIPES, "settings: {samples: 1, temp", "settings: {sample: 1, temp",
        "unknown key 'sample' in the settings of traces of dataset taught", "sample", "did you mean 'samples'?"),
    "source of rows": Mistake(
        SUBJECTS, "    settings: {source: arithmetic, ", "    settings: {sorce: arithmetic, ",
        "unknown key 'sorce' in the settings of domain sums", "sorce", "did you mean 'source'?"),
    # what is missing
    "missing key": Mistake(SPEC, "cluster: here\n", "", "the key 'cluster' is missing", "study",
        "A cluster of the catalog."),
    "missing keys below": Mistake(
        PLACES, "{time: 2:00:00, cpus: 1, mem: 4G}", "{cpus: 1}", "the keys 'time', 'mem' are missing in 'resources.train'",
        "{cpus: 1}"),
    "missing setting": Mistake(
        RECIPES, "      loss_type: nll\n", "", "the settings of algorithm sft lack 'loss_type'", "lr: 1e-3",
        "nll: cross-entropy; chunked_nll: the same, computed in pieces; dft: dynamic fine-tuning (arXiv 2508.05629)"),
    "missing settings": Mistake(
        SUBJECTS, "settings: {source: facts, seed: 1, train: 100, eval: 20}", "settings: {source: facts}",
        "the settings of domain facts lack 'seed', 'train', 'eval'", "{source: facts}"),
    # wrong types
    "number for text": Mistake(SPEC, "study: toy", "study: 3", "'study' is 3; expected text", "3",
        "The study's name: its folder below generated/."),
    "text for a list": Mistake(
        SPEC, "  start: [base, safe]", "  start: base", "'axes.start' is 'base'; expected a list", "base",
        "The model to begin from: starts of each scale."),
    "list for a mapping": Mistake(
        SPEC, "  domain: [sums, facts]", "  domain: {sums: 1}", "'axes.domain' is a mapping; expected a list",
        "{sums", "What it is done on: domains of the catalog, or combinations of them."),
    "nothing for a mapping": Mistake(SPEC, "tracking:\n  wandb: disabled\n", "tracking:\n",
                                     "'tracking' is empty; expected a mapping", "", "Where training curves go."),
    "mapping for a value or values": Mistake(
        SPEC, "start: safe}", "start: {}}",
        "'rules.0.where.start' is a mapping; expected text, a number, true or false or a list", "{}"),
    "number among names": Mistake(
        SPEC, "start: [base, safe]", "start: [base, safe, 3]", "'axes.start.2' is 3; expected text", "3"),
    "text for a number": Mistake(
        RECIPES, "      lr: 1e-3", "      lr: 1e-3x", "'lr' of the settings of algorithm sft is '1e-3x'; expected a number",
        "1e-3x", "peak learning rate"),
    "fraction for an integer": Mistake(
        RECIPES, "      steps: 20", "      steps: 2e1",
        "'steps' of the settings of algorithm sft is 20.0; expected an integer or nothing", "2e1",
        "updates, and the number without which the job has failed; null where epochs are given"),
    "truth for an integer": Mistake(
        SUBJECTS, "refusal\n      seed: 1", "refusal\n      seed: true",
        "'seed' of the settings of domain refusals is true; expected an integer", "true",
        "seed of everything drawn at random; the same seed and settings give the same result"),
    "not a number": Mistake(
        RECIPES, "      lr: 1e-3", "      lr: .nan", "'lr' of the settings of algorithm sft is nan; expected a number",
        ".nan",
        "peak learning rate"),
    "for ever": Mistake(SUBJECTS, "parameters: 1e4", "parameters: .inf", "'parameters' is inf; expected a finite number",
        ".inf", "How many weights the model has."),
    "number for an export": Mistake(
        PLACES, 'OMP_NUM_THREADS: "1"', "OMP_NUM_THREADS: 1",
        "'environments.train.exports.OMP_NUM_THREADS' is 1; expected text", "1"),
    "minutes for a time": Mistake(
        PLACES, 'time: "90"', "time: 90", "'resources.eval.time' is 90; expected text", "90",
        "The time limit, in one of Slurm's six forms."),
    "section without definitions": Mistake(
        SPEC, "tracking:", "define: {methods: [a]}\ntracking:", "'define.methods' is a list; expected a mapping", "[a]"),
    "section of a catalog file without definitions": Mistake(
        PLACES, "clusters:", "teachers: 3\nclusters:", "section 'teachers' must map names to definitions", "3"),
    "definition that is none": Mistake(
        SPEC, "tracking:", "define: {methods: {mine: 3}}\ntracking:", "the definition is 3; expected a mapping", "3"),
    # values out of range
    "too low": Mistake(
        RECIPES, "      steps: 20", "      steps: 0",
        "'steps' of the settings of algorithm sft is 0; expected at least 1", "0",
        "updates, and the number without which the job has failed; null where epochs are given"),
    "too high": Mistake(
        RECIPES, "      lr: 1e-3", "      lr: 2", "'lr' of the settings of algorithm sft is 2; expected at most 1", "2",
        "peak learning rate"),
    "not above": Mistake(
        RECIPES, "      lr: 1e-3", "      lr: 0.0", "'lr' of the settings of algorithm sft is 0.0; expected more than 0",
        "0.0",
        "peak learning rate"),
    "not below": Mistake(
        RECIPES, "          lr: 2e-5", "          warmup_ratio: 1",
        "'warmup_ratio' of the settings of algorithm grpo is 1; expected less than 1", "1",
        "share of all updates over which the learning rate rises from 0"),
    "both of two": Mistake(
        RECIPES, "      epochs: null\n      steps: 20", "      epochs: 2\n      steps: 20",
        "'epochs' of the algorithm sft is 2", "2",
        "training ends after so many epochs or after so many steps; give one and set the other to null"),
    "confidence": Mistake(
        SPEC, "  suites: [skills, harm]", "  suites: [skills, harm]\n  confidence: 95",
        "'evaluate.confidence' is 95; expected less than 1", "95", "Of every interval in the report."),
    "no suites": Mistake(
        SPEC, "  suites: [skills, harm]", "  suites: []",
        "'evaluate.suites' has no items; expected at least 1", "[]", "Suites of the catalog, the same for all cells."),
    # enums
    "enum of a model": Mistake(
        SPEC, "  wandb: disabled", "  wandb: disable", "'tracking.wandb' cannot be 'disable'", "disable",
        "did you mean 'disabled'?"),
    "enum of a definition": Mistake(
        PLACES, "    gpu_request: gpus_per_node", "    gpu_request: gpu_per_node", "'gpu_request' cannot be 'gpu_per_node'",
        "gpu_per_node", "did you mean 'gpus_per_node'?"),
    "enum of a schema": Mistake(
        SPEC, "        lr: 5e-4", "        schedule: cosin", "'schedule' of the settings of algorithm sft cannot be 'cosin'",
        "schedule: cosin", "did you mean 'cosine'?"),
    "enum of how a start is asked": Mistake(
        SUBJECTS, "revision: main, prompt: {template: plain,", "revision: main, prompt: {template: plan,",
        "'starts.base.prompt.template' cannot be 'plan'", "plan,", "did you mean 'plain'?"),
    "word or mapping": Mistake(
        SPEC, "  suites: [skills, harm]", "  suites: [skills, harm]\n  checkpoints: finl",
        "'evaluate.checkpoints' cannot be 'finl'", "finl", "did you mean 'final'?"),
    "unit of checkpoints": Mistake(
        SPEC, "  suites: [skills, harm]", "  suites: [skills, harm]\n  checkpoints: {steps: [5], log: 2}",
        "'evaluate.checkpoints': say exactly one of log, steps, epochs and fractions", "{steps"),
    "source that there is not": Mistake(
        SUBJECTS, "    settings: {source: arithmetic, ", "    settings: {source: arithmetics, ",
        "'source' of the settings of domain sums cannot be 'arithmetics'", "arithmetics", "did you mean 'arithmetic'?"),
    "size": Mistake(
        SPEC, "evaluate:", "budget: {storage: 5GB}\nevaluate:",
        "'budget.storage': '5GB' is no size: a number and K, M, G or T, such as 500G", "5GB"),
    # names of nothing
    "method": Mistake(SPEC, "rs_sft, on_rl", "rs_stf, on_rl", "there is no method 'rs_stf'", "rs_stf",
        "did you mean 'rs_sft'?"),
    "domain": Mistake(SPEC, "[sums, facts]", "[sums, fact, facts]", "there is no domain 'fact'", "fact",
        "did you mean 'facts'?"),
    "start": Mistake(
        SPEC, "start: [base, safe]", "start: [base, safe, bse]", "there is no start 'bse'", "bse",
        "did you mean 'base'?"),
    "scale": Mistake(SPEC, "scale: [nano]", "scale: [nan0]", "there is no scale 'nan0'", "nan0", "did you mean 'nano'?"),
    "suite": Mistake(SPEC, "[skills, harm]", "[skills, ham]", "there is no suite 'ham'", "ham", "did you mean 'harm'?"),
    "cluster": Mistake(SPEC, "cluster: here", "cluster: her", "there is no cluster 'her'", "her", "did you mean 'here'?"),
    "algorithm of a stage": Mistake(
        RECIPES, "stages: [{algorithm: grpo,", "stages: [{algorithm: gpro,", "there is no algorithm 'gpro'", "gpro",
        "did you mean 'grpo'?"),
    "dataset of a stage": Mistake(
        RECIPES, "stages: [{algorithm: sft, dataset: truth}]", "stages: [{algorithm: sft, dataset: thruth}]",
        "there is no dataset 'thruth'", "thruth", "did you mean 'truth'?"),
    "backend": Mistake(
        RECIPES, "fine-tuning\n    backend: trl", "fine-tuning\n    backend: tlr", "there is no backend 'tlr'", "tlr",
        "did you mean 'trl'?"),
    "what a backend cannot do": Mistake(
        RECIPES, "      model: start\n      backend: native", "      model: start\n      backend: trl",
        "backend 'trl' cannot do 'generate'", "trl", "valid here: distill, dpo, grpo, sdft, sft"),
    "teacher": Mistake(
        RECIPES, "      model: start", "      model: bigg", "there is no teacher 'bigg'", "bigg", "did you mean 'big'?"),
    "domain of a suite": Mistake(
        SUBJECTS, "    domains: [refusals]", "    domains: [refusal]", "there is no domain 'refusal'", "refusal]",
        "did you mean 'refusals'?"),
    "domain of a pretraining": Mistake(
        SUBJECTS, "          start: base\n          domains: [sums, facts, ",
        "          start: base\n          domains: [sums, fcts, ",
        "there is no domain 'fcts'", "fcts", "did you mean 'facts'?"),
    "start of a pretraining": Mistake(
        SUBJECTS, "          start: base", "          start: bas", "scale 'nano' has no start 'bas'", "bas",
        "did you mean 'base'?"),
    "resources": Mistake(
        RECIPES, "Supervised fine-tuning\n    backend: trl\n    resources: train",
        "Supervised fine-tuning\n    backend: trl\n    resources: trian",
        "there is no class of resources 'trian'", "trian", "did you mean 'train'?"),
    "resources of another cluster": Mistake(
        PLACES, '      eval: {time: "90", cpus: 1, mem: 4G}\n', "",
        "cluster 'here' has no resources 'eval', which the suite skills asks for", "here", "valid here: cpu, train",
        where=SPEC),
    "environment": Mistake(
        PLACES, '      train:\n        activate: ".venv', '      trains:\n        activate: ".venv',
        "cluster 'here' has no environment 'train', which backend 'native' needs", "here", "did you mean 'trains'?",
        where=SPEC),
    "algorithm of a rule": Mistake(
        SPEC, "      sft:\n", "      stf:\n", "rule 'gentler_facts': method 'gt_sft' has no algorithm 'stf' to set", "stf",
        "did you mean 'sft'?"),
    "algorithm of a domain": Mistake(
        SUBJECTS, "sft: {max_length: 64}", "stf: {max_length: 64}", "there is no algorithm 'stf'",
        "stf", "did you mean 'sft'?"),
    "dataset of a domain": Mistake(
        SUBJECTS, "own_answers: {prompts: 40}", "own_answer: {prompts: 40}",
        "there is no dataset 'own_answer'", "own_answer",
        "did you mean 'own_answers'?"),
    "dataset of a domain without traces": Mistake(
        SUBJECTS, "own_answers: {prompts: 40}", "truth: {limit: 40}",
        "domain 'sums' sets 'truth', which has no traces to set anything of", "truth", "valid here: own_answers, taught"),
    "extends of nothing": Mistake(
        SPEC, "tracking:", "define: {scales: {micro: {extends: nan0}}}\ntracking:", "there is no scale 'nan0' to extend",
        "nan0",
        "did you mean 'nano'?"),
    "extends of itself": Mistake(
        SPEC, "tracking:", "define: {scales: {micro: {extends: micro}}}\ntracking:", "there is no scale 'micro' to extend",
        "micro}", "valid here: hub, nano"),
    "extends in a circle": Mistake(
        SPEC, "tracking:",
        "define: {scales: {a: {extends: b}, b: {extends: c}, c: {extends: b}, d: {extends: c}}}\ntracking:",
        "definitions extend each other in a circle: b -> c -> b", "c}, c"),
    "scale of an added cell": Mistake(
        SPEC, "rules:\n", "rules:\n  - add: more\n    cells: {method: [gt_sft], scale: [hubb]}\n    why: x\n",
        "there is no scale 'hubb'", "hubb", "did you mean 'hub'?"),
    # rules
    "rule that touches nothing": Mistake(
        SPEC, "start: safe}", "start: base, domain: facts}\n    why: x\n  - keep: all\n    where: {scale: nano}",
        "rule 'all' touches none of the 15 cells", "keep", "see 'where'; rules before it may have dropped them"),
    "rule after the last cell": Mistake(
        SPEC, "start: safe}", "start: safe}\n    why: x\n  - drop: again\n    where: {method: staged, start: safe}",
        "rule 'again' touches none of the 14 cells", "drop", "see 'where'; rules before it may have dropped them"),
    "rules that leave nothing": Mistake(
        SPEC, "rules:\n", "rules:\n  - drop: everything\n    where: {}\n    why: x\n",
        "rule 'staged_from_base_only' touches none of the 0 cells", "drop: staged",
        "see 'where'; rules before it may have dropped them"),
    "last rule that leaves nothing": Mistake(
        SPEC, "    why: facts are forgotten faster than sums\n",
        "    why: so\n  - drop: everything\n    where: {}\n    why: x\n", "the rules leave no cell", "- drop: staged"),
    "value that its axis has not": Mistake(
        SPEC, "start: safe}", "start: [safe, bse]}", "rule 'staged_from_base_only': axis 'start' has no 'bse'",
        "bse", "did you mean 'base'?"),
    "rule without an action": Mistake(
        SPEC, "  - drop: staged_from_base_only\n    where", "  - where",
        "'rules.0': a rule is exactly one of drop, keep, add and set, with its name as the value", "where"),
    "rule with two actions": Mistake(
        SPEC, "  - set: gentler_facts\n", "  - set: gentler_facts\n    keep: x\n",
        "'rules.1': a rule is exactly one of drop, keep, add and set, with its name as the value", "set"),
    "rule without a where": Mistake(
        SPEC, "    where: {method: staged, start: safe}\n", "",
        "'rules.0': 'where' (axis: values) belongs to every rule but 'add'", "drop"),
    "rule that adds nothing": Mistake(
        SPEC, "  - drop: staged_from_base_only\n    where: {method: staged, start: safe}", "  - add: more",
        "'rules.0': 'cells' (axis: [values]) belongs to an 'add' rule, and to no other", "add"),
    "rule that sets nothing": Mistake(
        SPEC, "    to:\n      sft:\n        lr: 5e-4\n", "",
        "'rules.1': 'to' (algorithm: {setting: value}) belongs to a 'set' rule, and to no other", "set"),
    # names
    "value twice": Mistake(
        SPEC, "[sums, facts]", "[sums, sums, facts]", "'axes.domain': 'sums' is there twice", "sums, facts]"),
    "two cells of one name": Mistake(
        SPEC, "about: Four", "name: '{method}_{domain}_{scale}'\nabout: Four",
        "two cells have the name 'gt_sft_sums_nano': "
        "{'method': 'gt_sft', 'domain': 'sums', 'start': 'base', 'scale': 'nano'} and "
        "{'method': 'gt_sft', 'domain': 'sums', 'start': 'safe', 'scale': 'nano'}",
        "'{method}", "rename a value of an axis, or put every axis into 'name'"),
    "name with a space": Mistake(SPEC, "study: toy", "study: my toy", f"'study': 'my toy' {NAME}", "my toy"),
    "name with a quote": Mistake(SPEC, "study: toy", "study: toy'", f"'study': \"toy'\" {NAME}", "toy'"),
    "name with a newline": Mistake(SPEC, "study: toy", 'study: "toy\\n"', f"'study': 'toy\\n' {NAME}", '"toy'),
    "name with a slash": Mistake(SPEC, "study: toy", "study: a/b", f"'study': 'a/b' {NAME}", "a/b"),
    "name that goes up": Mistake(SPEC, "study: toy", "study: ..", f"'study': '..' {NAME}", ".."),
    "name that hides": Mistake(SPEC, "study: toy", "study: .toy", f"'study': '.toy' {NAME}", ".toy"),
    "name that looks like an option": Mistake(SPEC, "study: toy", "study: -toy", f"'study': '-toy' {NAME}", "-toy"),
    "name that expands": Mistake(SPEC, "[sums, facts]", "[sums, $HOME]", f"'axes.domain.1': '$HOME' {NAME}", "$HOME"),
    "name that is too long": Mistake(
        SPEC, "study: toy", f"study: {'x' * 61}", f"'study' is '{'x' * 56}...'; expected at most 60 characters",
        "xxx", "The study's name: its folder below generated/."),
    "name of a definition": Mistake(
        SPEC, "tracking:", "define: {methods: {a b: {extends: gt_sft}}}\ntracking:", f"'define.methods.a b': 'a b' {NAME}",
        "a b"),
    "name of a shell variable": Mistake(
        PLACES, 'OMP_NUM_THREADS: "1"', '"A; reboot": x',
        "'environments.train.exports.A; reboot': 'A; reboot' is no name of a "
        "shell variable", '"A; reboot"'),
    "name of a variable to unset": Mistake(
        PLACES, "[ROCR_VISIBLE_DEVICES]", "[$(reboot)]",
        "'environments.train.unsets.0': '$(reboot)' is no name of a shell variable",
        "$(reboot)"),
    "partition of two lines": Mistake(
        PLACES, "partition: main-cpu", 'partition: "a\\n#SBATCH --x"',
        "'resources.cpu.partition': 'a\\n#SBATCH --x' is no word that Slurm takes here", '"a'),
    "input names that meet": Mistake(
        SPEC, "evaluate:\n  suites: [skills, harm]",
        "define: {domains: {model: {extends: sums}}, suites: {own: {extends: harm, domains: [model]}}}\n"
        "evaluate:\n  suites: [skills, own]",
        "no domain can be called 'model' here: a job has an input of that name", "model]}}}", "rename it"),
    # Slurm's notations
    "time": Mistake(
        PLACES, "cpu: {partition: main-cpu, time: 3:00:00", "cpu: {partition: main-cpu, time: 3h",
        "'resources.cpu.time': '3h' is no Slurm time: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S", "3h"),
    "time for ever": Mistake(
        PLACES, "cpu: {partition: main-cpu, time: 3:00:00", "cpu: {partition: main-cpu, time: 0:00",
        "'resources.cpu.time': '0:00' is no limit: Slurm reads 0 as for ever", "0:00"),
    "memory without a unit": Mistake(
        PLACES, "cpus: 4, mem: 32G}\n      train: {partition", 'cpus: 4, mem: "32"}\n      train: {partition',
        "'resources.cpu.mem': '32' is no Slurm size: a number and K, M, G or T, such as 32G; or 0, all of a node's "
        "memory", '"32"'),
    "memory in another's unit": Mistake(
        PLACES, "cpus: 4, mem: 32G}\n      train: {partition", "cpus: 4, mem: 32GiB}\n      train: {partition",
        "'resources.cpu.mem': '32GiB' is no Slurm size: a number and K, M, G or T, such as 32G; or 0, all of a node's memory",
        "32GiB"),
    # starts
    "starts in a circle": Mistake(
        SUBJECTS, "        pretrain:\n          domains: [sums, facts, refusals]\n          settings:\n            model",
        "        pretrain:\n          start: safe\n          domains: [sums, facts, refusals]\n          settings:\n  "
        "          model",
        "starts go round in a circle: base -> safe -> base", "prompt"),
    "start from nowhere": Mistake(
        SPEC, "scale: [nano]",
        "scale: [hub]\n\ndefine: {scales: {hub: {about: x, parameters: 1.0, starts: {base: {prompt: &plain {template: plain, "
        "thinking: false}}, safe: {hub: a/b, revision: c, prompt: *plain}}}}}",
        "a start needs 'hub' and 'revision', or 'package', 'version' and 'sha256', or 'pretrain', or 'trained'",
        "{prompt: &plain"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_has_one_message_at_its_place_and_changes_nothing(name: str, scratch: Project) -> None:
    mistake = MISTAKES[name]
    scratch.edit(mistake.file, mistake.old, mistake.new)
    before = scratch.snapshot()
    result = scratch.lethe("compile", "specs/toy.yaml")
    assert (result.code, result.out) == (1, ""), result
    assert scratch.snapshot() == before
    assert "Traceback" not in result.err
    place, message = result.err.split("\n\n")[0].split(": error: ")
    lines = message.split("\n  ")
    source, caret = (line.split(" | ", 1)[1] for line in lines[1:3])
    assert lines[0] == mistake.message
    assert place.split(":")[0] == f"specs/{mistake.where or mistake.file}"
    assert source[caret.index("^") :].startswith(mistake.at)
    assert (lines[3].strip() if len(lines) > 3 else "") == (f"hint: {mistake.hint}" if mistake.hint else "")
    assert len(result.errors) == 1, result.err
    assert_true_place(scratch, place, mistake.at)


def assert_true_place(project: Project, place: str, text: str) -> None:
    """The line and the column of the file itself hold `text`."""
    file, line, column = place.split(":")
    source = (project.root / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert source[int(column) - 1 :].startswith(text)
