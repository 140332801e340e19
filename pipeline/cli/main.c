/* eelpipe: main. Finds the verb, runs it, ends with its exit code. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "pipeline/cli/cli.h"
#include "pipeline/io/file.h"
#include "pipeline/numerics/linalg.h"

const struct cli_verb *const cli_verbs[] = {&cli_run, &cli_plan, &cli_status, &cli_check, &cli_vary, &cli_stage, &cli_stages,
                                             &cli_info, &cli_preview, &cli_report, &cli_export, &cli_schema, &cli_version, &cli_help, NULL};

/* What a signal handler can reach. */
static atomic_int stop_signal;
static atomic_long stop_time;

/* The first signal lets the cells at work end; a second one, a second later or more, ends the process at once (a
 * terminal or `timeout` may well send the same signal twice). */
static void on_signal(int sig)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!atomic_exchange(&stop_signal, sig)) atomic_store(&stop_time, now.tv_sec);
    else if (now.tv_sec > atomic_load(&stop_time) + 1) _exit(128 + sig);
}

/* A mapped input was cut short, or its disk failed, between the moment its pages were asked for and their use. */
static void on_bus_error(int sig)
{
    static const char say[] = "eelpipe: an input file became shorter, or its disk failed, while it was read: nothing was written of it; "
                              "run again when the file is whole\n";
    (void)sig;
    if (write(STDERR_FILENO, say, sizeof say - 1) < 0) _exit(EXIT_NOTHING); /* nobody listens */
    _exit(EXIT_NOTHING);
}

static void watch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sa.sa_handler = on_bus_error;
    sigaction(SIGBUS, &sa, NULL);
    sa.sa_handler = SIG_IGN; /* a full disk or a closed pipe is an error that a call returns */
    sigaction(SIGPIPE, &sa, NULL);
    sigaction(SIGXFSZ, &sa, NULL);
}

static const struct cli_verb *find_verb(const char *word)
{
    if (!strcmp(word, "--help") || !strcmp(word, "-h")) word = "help";
    if (!strcmp(word, "--version")) word = "version";
    for (size_t i = 0; cli_verbs[i]; i++)
        if (!strcmp(cli_verbs[i]->name, word)) return cli_verbs[i];
    return NULL;
}

static int unknown_verb(const char *word)
{
    const char *names[32] = {0};
    size_t n = 0;
    for (; cli_verbs[n] && n < 31; n++) names[n] = cli_verbs[n]->name;
    const char *near = ep_suggest(word, names);
    fprintf(stderr, "eelpipe: unknown verb '%s'", word);
    if (near) fprintf(stderr, ": did you mean '%s'?", near);
    fprintf(stderr, "\nTry `eelpipe help`.\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    watch_signals();
    ep_hdf5_init();
    ep_fingerprint_stop(&stop_signal);
    ep_linalg_init();
    struct cli c = {.stop = &stop_signal};
    ep_log_init(&c.log, stderr, EP_LOG_NORMAL);
    const struct cli_verb *v = argc > 1 ? find_verb(argv[1]) : &cli_help;
    int code = v ? v->run(&c, argc > 2 ? (size_t)argc - 2 : 0, argv + 2) : unknown_verb(argv[1]);
    if (argc < 2) code = EXIT_USAGE;
    int sig = atomic_load(&stop_signal);
    if (sig) code = 128 + sig;
    ep_log_free(&c.log);
    if ((fflush(stdout) || ferror(stdout)) && code == EXIT_DONE) {
        fprintf(stderr, "eelpipe: can't write to standard output: %s\n", strerror(errno));
        code = EXIT_OUTPUT;
    }
    if (code == EXIT_OUTPUT) { /* after a failed close HDF5 must not be touched again, nor its exit handlers */
        fflush(stderr);
        _exit(code);
    }
    return code;
}
