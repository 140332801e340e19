/*
 * simulate compare: what a run of the default recipe found, next to what is true. Reads the tables
 * as anybody would, as CSV: OUT/{sample}/fronts.csv; the truth from truth.json and truth.h5.
 */
#include <hdf5.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simulate.h"

/* Distances from the boundary, in nm, over which the recipe takes its two oxygen ratios. */
static const double bands[2][2] = {{8.0, 16.0}, {0.5, 4.0}};

/* ---- CSV ---- */

enum { MOST_COLUMNS = 256, MOST_ROWS = 64 };
struct csv {
    char *text, *cell[MOST_ROWS + 1][MOST_COLUMNS];
    size_t ncolumns, nrows; /* cell[0]: the headings */
};

static char *read_text(const char *path, struct sim_err *err)
{
    FILE *stream = fopen(path, "rb");
    char *text = NULL;
    long size = -1;
    if (stream != NULL && fseek(stream, 0, SEEK_END) == 0) {
        size = ftell(stream);
        rewind(stream);
    }
    if (size >= 0) {
        text = calloc((size_t)size + 1, 1);
    }
    if (text == NULL || fread(text, 1, (size_t)size, stream) != (size_t)size) {
        sim_fail(err, SIM_USAGE, "can't read %s", path);
        free(text);
        text = NULL;
    }
    if (stream != NULL) {
        fclose(stream);
    }
    return text;
}

/* Cuts one cell out of the text at *at, quotes taken off, and moves on; false at the end of a row. */
static bool next_cell(char **at, char **cell)
{
    char *from = *at, *to = *at;
    bool quoted = *from == '"';
    *cell = to;
    if (quoted) {
        from++;
    }
    while (*from != '\0' && (quoted || (*from != ',' && *from != '\n'))) {
        if (quoted && *from == '"') {
            from++;
            quoted = *from == '"';
            if (!quoted) {
                continue;
            }
        }
        *to++ = *from++;
    }
    bool more = *from == ',';
    *at = *from == '\0' ? from : from + 1;
    *to = '\0';
    return more;
}

static int read_csv(const char *path, struct csv *csv, struct sim_err *err)
{
    memset(csv, 0, sizeof *csv);
    csv->text = read_text(path, err);
    if (csv->text == NULL) {
        return err->code;
    }
    char *at = csv->text;
    for (size_t row = 0; *at != '\0' && row <= MOST_ROWS; row++) {
        size_t n = 0;
        while (n < MOST_COLUMNS && next_cell(&at, &csv->cell[row][n])) {
            n++;
        }
        if (row == 0) {
            csv->ncolumns = n + 1;
        }
        csv->nrows = row;
    }
    return SIM_OK;
}

/* NaN where there is nothing. The unit behind the name does not matter. */
static double csv_number(const struct csv *csv, size_t row, const char *name)
{
    size_t length = strlen(name);
    for (size_t k = 0; k < csv->ncolumns && k < MOST_COLUMNS; k++) {
        const char *head = csv->cell[0][k], *value = csv->cell[row][k];
        if (head == NULL || strncmp(head, name, length) != 0 ||
            (head[length] != '\0' && strncmp(head + length, " (", 2) != 0)) {
            continue;
        }
        return value == NULL || value[0] == '\0' ? (double)NAN : strtod(value, NULL);
    }
    return NAN;
}

/* ---- truth ---- */

/* The number at the end of a path of names, "fronts/Ti/position_nm": each is looked for behind the
 * one before, which serves for what `simulate series` writes. */
static double json_number(const char *text, const char *path)
{
    char name[64], quoted[72];
    while (text != NULL && *path != '\0') {
        size_t n = strcspn(path, "/");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        snprintf(quoted, sizeof quoted, "\"%s\": ", name);
        text = strstr(text, quoted);
        text = text == NULL ? NULL : text + strlen(quoted);
        path += path[n] == '\0' ? n : n + 1;
    }
    return text == NULL ? (double)NAN : strtod(text, NULL);
}

static double *truth_map(hid_t file, const char *name, size_t *n)
{
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT), space = set < 0 ? -1 : H5Dget_space(set);
    hssize_t points = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    double *map = points > 0 ? calloc((size_t)points, sizeof *map) : NULL;
    if (map != NULL && H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, map) < 0) {
        free(map);
        map = NULL;
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    if (set >= 0) {
        H5Dclose(set);
    }
    *n = map == NULL ? 0 : (size_t)points;
    return map;
}

/* Expected pre-peak over expected main peak of the pixels in each band. */
static void oxygen_truth(const char *path, double ratio[2])
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    size_t n[3] = {0};
    double *distance = truth_map(file, "distance_nm", &n[0]);
    double *pre = truth_map(file, "o_k_prepeak_counts", &n[1]);
    double *main_peak = truth_map(file, "o_k_main_counts", &n[2]);
    for (int b = 0; b < 2; b++) {
        double above = 0.0, below = 0.0;
        for (size_t i = 0; i < n[0] && i < n[1] && i < n[2]; i++) {
            if (distance[i] >= bands[b][0] && distance[i] < bands[b][1]) {
                above += pre[i];
                below += main_peak[i];
            }
        }
        ratio[b] = above / below;
    }
    free(distance);
    free(pre);
    free(main_peak);
    if (file >= 0) {
        H5Fclose(file);
    }
}

/* ---- the table ---- */

/* What is compared: column of the table, where truth stands (NULL: an oxygen ratio), digits. */
static const struct {
    const char *head, *column, *truth;
    int digits;
} quantities[] = {
    {"O ratio, bulk", "o_bulk", NULL, 4},
    {"O ratio, interface", "o_near", NULL, 4},
    {"Ti front, nm", "ti_front_position", "fronts/Ti/position_nm", 2},
    {"La front, nm", "la_front_position", "fronts/La/position_nm", 2},
    {"Ti displacement, nm", "ti_front_displacement", "fronts/Ti/displacement_nm", 2},
    {"La displacement, nm", "la_front_displacement", "fronts/La/displacement_nm", 2},
};
enum { QUANTITIES = sizeof quantities / sizeof quantities[0] };

struct score {
    size_t n, in1, in2;
};

static void print_number(double value, int width, int digits)
{
    if (isfinite(value)) {
        printf(" %*.*f", width, digits, value);
    } else {
        printf(" %*s", width, "-");
    }
}

static void print_row(const struct csv *csv, size_t row, const char *json, const double oxygen[2],
                      struct score *score)
{
    printf("%5g", csv_number(csv, row, "temperature"));
    for (int k = 0; k < QUANTITIES; k++) {
        char name[80];
        snprintf(name, sizeof name, "%s sigma", quantities[k].column);
        double value = csv_number(csv, row, quantities[k].column);
        double sigma = csv_number(csv, row, name);
        double truth = quantities[k].truth ? json_number(json, quantities[k].truth) : oxygen[k];
        printf(" |");
        print_number(value, 6, quantities[k].digits);
        print_number(sigma, 6, quantities[k].digits);
        print_number(truth, 6, quantities[k].digits);
        if (isfinite(value) && sigma > 0.0 && isfinite(truth)) {
            score->n++;
            score->in1 += fabs(value - truth) <= sigma;
            score->in2 += fabs(value - truth) <= 2.0 * sigma;
        }
    }
    printf("\n");
}

static int compare_sample(const char *out, const char *series, const char *sample,
                          struct score *score, struct sim_err *err)
{
    char path[4096];
    struct csv *csv = calloc(1, sizeof *csv);
    if (csv == NULL) {
        return sim_fail(err, SIM_OUTPUT, "no memory");
    }
    snprintf(path, sizeof path, "%s/%s/fronts.csv", out, sample);
    if (read_csv(path, csv, err) == SIM_OK) {
        printf("\n%s: found, sigma, true\n%5s", sample, "degC");
        for (int k = 0; k < QUANTITIES; k++) {
            printf(" | %-20s", quantities[k].head);
        }
        printf("\n");
    }
    for (size_t row = 1; err->code == SIM_OK && row <= csv->nrows; row++) {
        double oxygen[2], temperature = csv_number(csv, row, "temperature");
        snprintf(path, sizeof path, "%s/%s/%.0fC/truth.h5", series, sample, temperature);
        oxygen_truth(path, oxygen);
        snprintf(path, sizeof path, "%s/%s/%.0fC/truth.json", series, sample, temperature);
        char *json = read_text(path, err);
        if (json != NULL) {
            print_row(csv, row, json, oxygen, score);
        }
        free(json);
    }
    free(csv->text);
    free(csv);
    return err->code;
}

int sim_compare(const char *out, const char *series, struct sim_err *err)
{
    struct dirent **entry = NULL;
    struct score score = {0};
    int n = scandir(series, &entry, NULL, alphasort);
    if (n < 0) {
        return sim_fail(err, SIM_USAGE, "there is no series in %s", series);
    }
    for (int i = 0; i < n; i++) {
        if (entry[i]->d_name[0] != '.' && err->code == SIM_OK &&
            strncmp(entry[i]->d_name, "ncm", 3) == 0) {
            compare_sample(out, series, entry[i]->d_name, &score, err);
        }
        free(entry[i]);
    }
    free(entry);
    if (err->code == SIM_OK && score.n > 0) {
        printf("\nO ratio: counts at 527-532 over 536-546 eV; bulk: %g to %g nm, interface: %g to %g nm "
               "into NCM. Fronts: 10 %% points.\nOf %zu numbers %zu are within one sigma of the truth, "
               "%zu within two.\n", bands[0][0], bands[0][1], bands[1][0], bands[1][1], score.n,
               score.in1, score.in2);
    }
    return err->code;
}
