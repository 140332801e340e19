# eelpipe. `make run` makes the figure of the default recipe; `make help` lists the rest.
# Nothing here asks pkg-config before the needed packages are there: `deps` runs first.

CC       ?= cc
AR       ?= ar
CFLAGS   ?=
LDFLAGS  ?=
WERROR   ?= -Werror
PREFIX   ?= /usr/local
DESTDIR  ?=
BUILD    ?= build
PYTHON   ?= /usr/bin/python3
JOBS     ?= $(shell nproc 2>/dev/null || echo 2)
V        ?=

# As many jobs as processors, unless the command line or a calling make says otherwise.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
endif
MAKEFLAGS += --no-builtin-rules

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# ---- what is built from what --------------------------------------------------------------------
LIB_SRC    := $(filter-out pipeline/cli/%,$(wildcard pipeline/*.c pipeline/*/*.c)) $(wildcard stages/*.c)
CLI_SRC    := $(wildcard pipeline/cli/*.c)
SIM_SRC    := $(wildcard testdata/*.c)
UNIT_SRC   := $(wildcard tests/unit/test_*.c)
HELPER_SRC := $(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c))
# Statistics need many repetitions and timings need speed: these run in the release build.
FAST_SRC   := $(filter tests/unit/test_montecarlo% tests/unit/test_perf%,$(UNIT_SRC))
UNITS      := $(UNIT_SRC:tests/unit/%.c=%)
FAST_UNITS := $(FAST_SRC:tests/unit/%.c=%)
# Small programs that peer checks call.
PEER_SRC   := $(wildcard tests/peer/*.c)
FUZZERS    := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

# ---- flags --------------------------------------------------------------------------------------
STD_FLAGS  := -std=c17 -D_GNU_SOURCE -I. -ffp-contract=off -pthread -MMD -MP
WARN_FLAGS := -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wno-format-nonliteral
# A program that reads files of others: bounds and stacks are watched, addresses are random, tables read-only.
HARDENING  := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE \
              $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
FLAGS_release  := -O2 -g $(HARDENING)
LINK_release   := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
# Instrumented code makes gcc see truncations and uninitialised values that are not there.
INSTRUMENTED   := -g -Wno-unknown-warning-option -Wno-format-truncation -Wno-maybe-uninitialized
SANITIZE       := $(INSTRUMENTED) -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
FLAGS_sanitize := -O1 $(SANITIZE)
LINK_sanitize  := -fsanitize=address,undefined
FLAGS_coverage := -O0 $(INSTRUMENTED) --coverage -fprofile-update=atomic
LINK_coverage  := --coverage
FLAGS_fuzz     := -O1 $(SANITIZE) -fsanitize=fuzzer-no-link
LINK_fuzz      := -fsanitize=fuzzer,address,undefined

# One short line for each file; V=1 shows the commands.
Q   := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2))

# OpenBLAS, LAPACKE, FFTW, cairo, Pango and libtiff are loaded when they are needed (pipeline/numerics/library.h): headers only here.
LIB_PKGS := hdf5-serial yaml-0.1 libdeflate libxxhash libxrl
HEADER_PKGS := openblas lapacke fftw3 pangocairo libtiff-4
# $(call ask,NAME,WORDS): pkg-config is asked once, when a recipe first needs the answer.
ask = $(eval $(1) := $$(shell pkg-config $(2)))$($(1))
LIB_CFLAGS  = $(call ask,LIB_CFLAGS,--cflags $(LIB_PKGS) $(HEADER_PKGS))
LIB_LIBS    = $(call ask,LIB_LIBS,--libs $(LIB_PKGS))
SIM_LIBS    = $(call ask,SIM_LIBS,--libs hdf5-serial)
UNIT_CFLAGS = $(call ask,UNIT_CFLAGS,--cflags cmocka)
UNIT_LIBS   = $(call ask,UNIT_LIBS,--libs cmocka)

# ---- what one asks for --------------------------------------------------------------------------
.PHONY: all help deps run test test-long bench lint sanitize coverage fuzz docs gallery install uninstall deb clean FORCE

all: $(BUILD)/eelpipe ## build the program, build/eelpipe (this is the default)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile
	@echo "Switches: CC CFLAGS LDFLAGS WERROR= PREFIX DESTDIR BUILD PYTHON JOBS SECONDS (fuzz) V=1"

# Tests and benchmarks need a few packages more than the program.
DEPS_SET := $(if $(filter test test-long bench sanitize coverage,$(MAKECMDGOALS)),test,build)
deps: ## install the packages that are missing (Debian, Ubuntu), and check
	@bash scripts/deps.sh $(DEPS_SET)

run: $(BUILD)/eelpipe $(BUILD)/simulate ## build, simulate the test series if it is missing, run the default recipe, compare with the truth
	@$(BUILD)/simulate series testdata/series --if-missing
	$(BUILD)/eelpipe run
	@$(BUILD)/simulate compare out testdata/series

TEST_RUN = $(PYTHON) tests/run --build $(BUILD)
PROGRAMS := $(BUILD)/eelpipe $(BUILD)/simulate
TEST_PROGRAMS := $(UNITS:%=$(BUILD)/sanitize/tests/%) $(FAST_UNITS:%=$(BUILD)/release/tests/%) $(PEER_SRC:tests/%.c=$(BUILD)/release/tests/%)
test: $(PROGRAMS) $(TEST_PROGRAMS) ## build both variants, run all tests
	@$(TEST_RUN)

test-long: $(PROGRAMS) $(TEST_PROGRAMS) ## all tests, with more repetitions and timings
	@$(TEST_RUN) --long

sanitize: $(PROGRAMS) $(BUILD)/sanitize/eelpipe $(UNITS:%=$(BUILD)/sanitize/tests/%) ## unit tests and command stories under ASan and UBSan
	@$(TEST_RUN) --only unit,cli --eelpipe $(BUILD)/sanitize/eelpipe

bench: $(PROGRAMS) ## time the program against HyperSpy
	$(PYTHON) bench/run.py --build $(BUILD)

lint: ## style and static checks, with the tools that are installed
	@bash scripts/lint.sh

COVER_PROGRAMS := $(BUILD)/coverage/eelpipe $(UNITS:%=$(BUILD)/coverage/tests/%) $(PEER_SRC:tests/%.c=$(BUILD)/coverage/tests/%)
coverage: $(BUILD)/simulate $(COVER_PROGRAMS) ## lines of pipeline/ and stages/ that the tests reach; fails below 90 %
	@find $(BUILD)/coverage -name '*.gcda' -delete
	@$(TEST_RUN) --variant coverage --limit 600 --eelpipe $(BUILD)/coverage/eelpipe; status=$$?; \
		$(PYTHON) scripts/coverage.py $(BUILD)/coverage --least 90 && exit $$status

SECONDS ?= 60
fuzz: $(PROGRAMS) ## libFuzzer on recipes, arguments and files, SECONDS=60 in all (needs clang)
	@$(MAKE) --no-print-directory CC=clang $(FUZZERS:%=$(BUILD)/fuzz/tests/fuzz/fuzz_%)
	@SIMULATE=$(abspath $(BUILD)/simulate) EELPIPE=$(abspath $(BUILD)/eelpipe) bash scripts/fuzz.sh $(BUILD)/fuzz $(SECONDS) $(FUZZERS)

docs: $(BUILD)/eelpipe ## refresh what the program knows of itself: stage pages, manual, JSON Schema
	@bash scripts/docs.sh $(BUILD)/eelpipe docs
	@$(BUILD)/eelpipe schema > schemas/recipe.schema.json

gallery: $(PROGRAMS) ## draw the pictures of docs/gallery.md anew
	@$(BUILD)/simulate series testdata/series --if-missing
	@bash scripts/gallery.sh $(BUILD)/eelpipe $(BUILD)

# What goes where: installed by `install`, taken away by `uninstall`.
BIN_DIR  = $(DESTDIR)$(PREFIX)/bin
MAN_DIR  = $(DESTDIR)$(PREFIX)/share/man/man1
COMP_DIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
DATA_DIR = $(DESTDIR)$(PREFIX)/share/eelpipe
DOC_DIR  = $(DESTDIR)$(PREFIX)/share/doc/eelpipe
install: $(BUILD)/eelpipe ## the program, its manual, completion, schema and docs to DESTDIR/PREFIX
	install -D -m 755 $(BUILD)/eelpipe $(BIN_DIR)/eelpipe
	install -D -m 644 docs/eelpipe.1 $(MAN_DIR)/eelpipe.1
	install -D -m 644 completions/eelpipe.bash $(COMP_DIR)/eelpipe
	install -D -m 644 -t $(DATA_DIR) schemas/recipe.schema.json
	install -D -m 644 -t $(DOC_DIR) README.md CHANGELOG.md LICENSE
	install -D -m 644 -t $(DOC_DIR)/docs docs/*.md docs/amounts.yaml
	install -D -m 644 -t $(DOC_DIR)/docs/gallery docs/gallery/*
	install -D -m 644 -t $(DOC_DIR)/docs/stages docs/stages/*.md

uninstall: ## remove what `install` put there
	rm -f $(BIN_DIR)/eelpipe $(MAN_DIR)/eelpipe.1 $(COMP_DIR)/eelpipe
	rm -rf $(DATA_DIR) $(DOC_DIR)

deb: $(BUILD)/eelpipe ## build/eelpipe_VERSION_ARCH.deb
	@bash scripts/deb.sh $(BUILD)

clean: ## remove everything built (results and test data stay)
	rm -rf $(BUILD)

# ---- rules --------------------------------------------------------------------------------------
# $(call variant,NAME): objects, archive, program and unit tests of one set of flags, in build/NAME/.
# The file `flags` changes when a compiler or a flag does, and makes all objects out of date.
recorded = $(CC) $(STD_FLAGS) $(WARN_FLAGS) $(FLAGS_$(1)) $(CFLAGS) $(LIB_CFLAGS) $(LINK_$(1)) $(LDFLAGS) $(LIB_LIBS)
define variant
.SECONDARY: $$(patsubst %.c,$$(BUILD)/$(1)/%.o,$$(UNIT_SRC) $$(HELPER_SRC) $$(PEER_SRC) $$(FUZZERS:%=tests/fuzz/fuzz_%.c))
$$(BUILD)/$(1)/flags: FORCE | deps
	@mkdir -p $$(@D)
	@echo '$$(call recorded,$(1))' | cmp -s - $$@ || echo '$$(call recorded,$(1))' > $$@

$$(BUILD)/$(1)/%.o: %.c $$(BUILD)/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$$(Q)$$(CC) $$(STD_FLAGS) $$(WARN_FLAGS) $$(FLAGS_$(1)) $$(LIB_CFLAGS) $$(if $$(filter tests/%,$$<),$$(UNIT_CFLAGS)) $$(CFLAGS) -c -o $$@ $$<

$$(BUILD)/$(1)/pipeline/report/assets.o: pipeline/report/report.js pipeline/report/report.css

# Made anew each time: an archive keeps the objects of deleted sources otherwise.
$$(BUILD)/$(1)/libeelpipe.a: $$(LIB_SRC:%.c=$$(BUILD)/$(1)/%.o)
	@rm -f $$@
	$$(call say,AR,$$@)
	$$(Q)$$(AR) rcs $$@ $$^

$$(BUILD)/$(1)/eelpipe: $$(CLI_SRC:%.c=$$(BUILD)/$(1)/%.o) $$(BUILD)/$(1)/libeelpipe.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(FLAGS_$(1)) $$(CFLAGS) $$(LINK_$(1)) $$(LDFLAGS) -o $$@ $$^ $$(LIB_LIBS) -lm -lpthread

# The archive stands after the test: a test may bring its own list of stages.
$$(BUILD)/$(1)/tests/%: $$(BUILD)/$(1)/tests/unit/%.o $$(HELPER_SRC:%.c=$$(BUILD)/$(1)/%.o) $$(BUILD)/$(1)/libeelpipe.a
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(FLAGS_$(1)) $$(CFLAGS) $$(LINK_$(1)) $$(LDFLAGS) -o $$@ $$^ $$(UNIT_LIBS) $$(LIB_LIBS) -lm -lpthread

# A fuzzer brings its own main (libFuzzer's).
$$(BUILD)/$(1)/tests/fuzz/fuzz_%: $$(BUILD)/$(1)/tests/fuzz/fuzz_%.o $$(BUILD)/$(1)/libeelpipe.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(FLAGS_$(1)) $$(CFLAGS) $$(LINK_$(1)) $$(LDFLAGS) -o $$@ $$^ $$(LIB_LIBS) -lm -lpthread

$$(BUILD)/$(1)/tests/peer/%: $$(BUILD)/$(1)/tests/peer/%.o $$(BUILD)/$(1)/libeelpipe.a
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(FLAGS_$(1)) $$(CFLAGS) $$(LINK_$(1)) $$(LDFLAGS) -o $$@ $$^ $$(LIB_LIBS) -lm -lpthread
endef
$(foreach v,release sanitize coverage fuzz,$(eval $(call variant,$(v))))

$(BUILD)/eelpipe: $(BUILD)/release/eelpipe
	@cp $< $@.new && mv -f $@.new $@

$(BUILD)/simulate: $(SIM_SRC:%.c=$(BUILD)/release/%.o)
	$(call say,LD,$@)
	$(Q)$(CC) $(FLAGS_release) $(CFLAGS) $(LINK_release) $(LDFLAGS) -o $@ $^ $(SIM_LIBS) -lm -lpthread

FORCE:

-include $(foreach v,release sanitize coverage fuzz,$(patsubst %.c,$(BUILD)/$(v)/%.d,$(LIB_SRC) $(CLI_SRC) $(SIM_SRC) $(UNIT_SRC) $(HELPER_SRC) $(PEER_SRC) $(FUZZERS:%=tests/fuzz/fuzz_%.c)))
