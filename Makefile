# make demo: install studykit into .venv, build the demo study, open its pages.
# make test: install the tests' packages too and run all tests, a file at a time in each of up to four processes.
PYTHON ?= python3
VENV = .venv/bin

# uv installs in seconds; where it cannot (a proxy that only pip knows, say), pip does it.
define install
	test -x $(VENV)/python || $(PYTHON) -m venv .venv
	$(VENV)/python -m pip install --quiet --disable-pip-version-check uv
	UV_FIND_LINKS="$$PIP_FIND_LINKS" $(VENV)/uv pip install --compile-bytecode \
	  --python $(VENV)/python -c constraints.txt -e "$(1)" \
	  || $(VENV)/python -m pip install -c constraints.txt -e "$(1)"
	touch $@
endef

.PHONY: demo test format site clean

demo: .venv/studykit
	$(VENV)/python -m studykit demo

test: .venv/studykit-test
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(VENV)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

# The notebooks as pages, from the outputs that stand in them: data/site/index.html.
site: .venv/studykit-test
	$(VENV)/python notebooks/course.py site data/site

format: .venv/studykit-test
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .

.venv/studykit: pyproject.toml constraints.txt
	$(call install,.)

.venv/studykit-test: pyproject.toml constraints.txt
	$(call install,.[test])

clean:
	rm -rf .venv data/demo
