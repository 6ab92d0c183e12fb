# Callward. `make help` lists the targets.
SHELL := /bin/bash
CARGO ?= cargo
BIN := target/release/callward
EVAL := target/eval-venv
SYSTEM := cmake clang libclang-dev pkg-config
# Whatever Python is there brings the weights; Debian's is only installed where it has no pip.
SYSTEM += $(shell python3 -m pip --version >/dev/null 2>&1 || echo python3 python3-pip)
TESTERS := sip-tester baresip sox tshark

.DEFAULT_GOAL := help
.PHONY: help system testers build models demo run test lint spoken eval train bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

system: ## install what the build needs (Debian; needs root or sudo)
	@deploy/setup/packages.sh $(SYSTEM)

testers: ## install the SIP clients and audio tools the tests use
	@deploy/setup/packages.sh $(SYSTEM) $(TESTERS)

build: system ## build the release binary
	$(CARGO) build --release --locked

models: build ## fetch the model weights (once; cached outside the repository)
	$(BIN) models fetch

demo: models ## run the main job: a scam call through the whole service
	$(BIN) demo --record-callee target/demo-callee.wav --record-caller target/demo-caller.wav
	@echo "What each ear heard: target/demo-callee.wav target/demo-caller.wav"

run: models ## start the service with deploy/home/callward.example.toml or CONFIG=FILE
	$(BIN) serve --config $(or $(CONFIG),deploy/home/callward.example.toml)

test: testers models lint ## set up and run every test
	$(CARGO) test --release --locked
	$(CARGO) test --release --locked --no-default-features --lib

lint: ## rustfmt, clippy with warnings denied
	$(CARGO) fmt --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings

spoken: build ## speak the corpus's test calls over a telephone line, for eval (once; half an hour)
	@deploy/setup/packages.sh flite
	python3 models/speech/spoken.py --out target/spoken

eval: models spoken ## measure the classifier on calls it never saw: models/evaluation/report
	@test -x $(EVAL)/bin/python || { python3 -m venv $(EVAL) && $(EVAL)/bin/pip install -q -r models/evaluation/requirements.txt; }
	$(if $(DATA),$(EVAL)/bin/python models/evaluation/outside.py --data $(DATA) --out target/outside)
	$(EVAL)/bin/python models/evaluation/report.py --callward $(BIN) --spoken target/spoken $(if $(DATA),--outside target/outside)

train: ## train the classifier anew (a CPU, an hour); DATA=DIR adds public transcripts
	@models/training/train.sh $(if $(DATA),--data $(DATA))

bench: system ## the benchmarks: what the relay adds to a packet, what labelling an utterance takes
	$(CARGO) bench --locked

clean: ## remove build output (not the cached models)
	$(CARGO) clean
