/*
 * Errors, text files and folders for the simulator.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "simulate.h"

int sim_fail(struct sim_err *err, int code, const char *format, ...)
{
    if (err->code == SIM_OK) {
        err->code = code;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(err->text, sizeof err->text, format, arguments);
        va_end(arguments);
    }
    return err->code;
}

int sim_text_open(struct sim_text *text, const char *path, struct sim_err *err)
{
    memset(text, 0, sizeof *text);
    text->first = 1;
    if (snprintf(text->path, sizeof text->path, "%s", path) >= (int)sizeof text->path) {
        return sim_fail(err, SIM_USAGE, "the path is too long: %s", path);
    }
    snprintf(text->temporary, sizeof text->temporary, "%s.tmp.%ld", path, (long)getpid());
    text->stream = fopen(text->temporary, "w");
    if (text->stream == NULL) {
        return sim_fail(err, SIM_OUTPUT, "can't create %s: %s", text->temporary, strerror(errno));
    }
    return SIM_OK;
}

int sim_text_close(struct sim_text *text, struct sim_err *err)
{
    int bad = ferror(text->stream);
    bad |= fclose(text->stream);
    text->stream = NULL;
    if (bad == 0 && rename(text->temporary, text->path) == 0) {
        return SIM_OK;
    }
    unlink(text->temporary);
    return sim_fail(err, SIM_OUTPUT, "can't write %s", text->path);
}

/* Comma, line break, indentation and the name: what stands before every value. */
static void begin_value(struct sim_text *text, const char *name)
{
    if (text->depth > 0) {
        fputs(text->first ? "\n" : ",\n", text->stream);
    }
    text->first = 0;
    fprintf(text->stream, "%*s", 2 * text->depth, "");
    if (name != NULL) {
        fprintf(text->stream, "\"%s\": ", name);
    }
}

void sim_json_open(struct sim_text *text, const char *name, char bracket)
{
    begin_value(text, name);
    fputc(bracket, text->stream);
    text->depth++;
    text->first = 1;
}

void sim_json_close(struct sim_text *text, char bracket)
{
    text->depth--;
    fprintf(text->stream, "\n%*s%c", 2 * text->depth, "", bracket);
    text->first = 0;
    if (text->depth == 0) {
        fputc('\n', text->stream);
    }
}

void sim_json_number(struct sim_text *text, const char *name, double value)
{
    begin_value(text, name);
    /* the shortest of three that reads back as the same number */
    static const int digits[] = {6, 15, 17};
    char buffer[40] = "";
    for (int i = 0; i < 3; i++) {
        double back = 0.0;
        snprintf(buffer, sizeof buffer, "%.*g", digits[i], value);
        if (sscanf(buffer, "%lf", &back) == 1 && back == value) {
            break;
        }
    }
    fputs(buffer, text->stream);
}

void sim_json_text(struct sim_text *text, const char *name, const char *value)
{
    begin_value(text, name);
    fputc('"', text->stream);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            fputc('\\', text->stream);
        }
        fputc((unsigned char)*p < 0x20 ? ' ' : *p, text->stream);
    }
    fputc('"', text->stream);
}

int sim_make_folder(const char *path, struct sim_err *err)
{
    char part[4096];
    size_t length = strlen(path);
    if (length >= sizeof part) {
        return sim_fail(err, SIM_USAGE, "the path is too long: %s", path);
    }
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) {
            return sim_fail(err, SIM_OUTPUT, "can't create the folder %s: %s", part,
                            strerror(errno));
        }
        part[i] = kept;
    }
    return SIM_OK;
}
