# `make run` and `make test` need git, make and any Python 3; they fetch the rest themselves.
LIBRARIES = DYLD_FALLBACK_LIBRARY_PATH=/opt/homebrew/lib:/usr/local/lib:/usr/lib
PYTHON = $(LIBRARIES) .venv/bin/python
THROWAWAY = PORTAL_MODE=production PUBLIC_BASE_URL=https://status.example.com ALLOWED_HOSTS=status.example.com \
	SECRET_KEY=only-for-checks-3e0b6f7a8c1d4259b7e6f0a1c2d3e4f5061728394a5b6c7d8e9f \
	DATABASE_URL=postgres://nobody@127.0.0.1:1/none REDIS_URL=redis://127.0.0.1:1/0 SMTP_URL=smtp://127.0.0.1:1
# All but `models` and `database`, which ask a database; makemigrations has checked the models one line before.
TAGS = $(addprefix --tag ,security urls templates admin caches files mail staticfiles)
SPREAD = --numprocesses auto --dist loadfile --ignore tests/journeys

.PHONY: run test check messages format chaos promises soak machine mutants fuzz-mail equal-answers bench-mail bench-webhooks bench-page bench-staff

run: ## set everything up and run the portal with demo data: http://127.0.0.1:8000 (PORT=8001 for another)
	@.ci/setup run
	@$(LIBRARIES) exec .venv/bin/python manage.py run

test: ## all but the journeys on SQLite and then on PostgreSQL, a worker a core; then the journeys in a browser
	@.ci/setup browser
	TEST_DATABASE=sqlite $(PYTHON) -m pytest $(SPREAD)
	TEST_DATABASE=postgres $(PYTHON) -m pytest $(SPREAD)
	TEST_DATABASE=sqlite $(PYTHON) -m pytest tests/journeys

check: ## format, lint, types, migrations, production settings, templates
	@.ci/setup dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(PYTHON) manage.py makemigrations --check --dry-run
	$(THROWAWAY) $(PYTHON) manage.py check --deploy --fail-level WARNING $(TAGS)
	git ls-files -z 'templates/*.html' | xargs -0 .venv/bin/djade --target-version 6.1 --check

chaos: ## send mail while everything breaks, on both databases, and read the whole history (SEED=…, FAULTS=200)
	@.ci/setup dev
	for database in sqlite postgres; do $(PYTHON) -m tests.chaos.run --database $$database \
		$(if $(SEED),--seed $(SEED)) --faults $(or $(FAULTS),200) || exit 1; done

promises: ## latency, no broker, senders killed in mid-send, missed deadlines: real processes, both databases (ONLY="killed")
	@.ci/setup dev
	for database in sqlite postgres; do \
		$(PYTHON) -m tests.promises.run $(or $(ONLY),latency broker killed missed) --database $$database || exit 1; done

soak: ## 100,000 deliveries while memory and database connections are watched, on both databases (DELIVERIES=10000)
	@.ci/setup dev
	for database in sqlite postgres; do \
		$(PYTHON) -m tests.promises.run soak --count $(or $(DELIVERIES),100000) --database $$database || exit 1; done

machine: ## incident, readers, engine, relay, clock and a team in any order: 200 histories of 30 steps (EXAMPLES=2000 STEPS=60)
	@.ci/setup dev
	for database in sqlite postgres; do EXAMPLES=$(or $(EXAMPLES),200) STEPS=$(or $(STEPS),30) \
		TEST_DATABASE=$$database $(PYTHON) -m pytest tests/incidents/test_machine.py \
			tests/incidents/room/test_team_machine.py || exit 1; done

mutants: ## break the code in one place at a time and demand that a named test turns red
	@.ci/setup dev
	$(PYTHON) -m tests.mutants.run $(WORDS)

bench-mail: ## how fast mail leaves, beside Postfix, plain Django and django-post_office; writes bench/mail.json
	@.ci/setup bench
	$(PYTHON) bench/mail.py $(BENCH)

bench-webhooks: ## what endpoints that hang, drip or never end cost everybody else, on both databases (BENCH="--rounds 3")
	@.ci/setup bench
	for database in sqlite postgres; do $(PYTHON) bench/webhooks.py --database $$database $(BENCH) || exit 1; done

equal-answers: ## whether a stopwatch tells a subscribed address from another
	@.ci/setup dev
	$(PYTHON) bench/answers.py

fuzz-mail: ## 20,000 mails with whatever can be typed in them: none gets another header (MAILS=…)
	@.ci/setup dev
	MAILS=$(or $(MAILS),20000) $(PYTHON) -m pytest -q tests/irportal/outbox/test_announcing.py -k second_header

bench-page: ## how fast the public page is served, beside nginx and Django without it; writes bench/page.json
	@.ci/setup bench
	$(PYTHON) bench/page.py $(BENCH)

bench-staff: ## how long the portal's pages take with 10,000 incidents; writes bench/staff.json
	@.ci/setup bench
	$(PYTHON) bench/staff.py $(BENCH)

messages: ## bring the catalogues under locale/ up to the words that are marked, and compile them
	@.ci/setup dev
	$(PYTHON) -m tests.messages

format: ## what `check` would complain about and a tool can mend
	@.ci/setup dev
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .
	git ls-files -z 'templates/*.html' | xargs -0 .venv/bin/djade --target-version 6.1
