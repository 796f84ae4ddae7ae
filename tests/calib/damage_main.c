/* damage_main.c - the same as a program, for shell tests: damage IN OUT FACTOR CHANNEL... */
#include <stdio.h>
#include <stdlib.h>

#include "tests/calib/damage.h"

int main(int argc, char **argv)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_model *m = NULL;
    size_t channel[64], n = 0;
    if (argc < 5 || argc > 68) {
        fprintf(stderr, "usage: damage IN OUT.gguf FACTOR CHANNEL...\n");
        return 2;
    }
    for (int i = 4; i < argc; i++)
        channel[n++] = (size_t)strtoul(argv[i], NULL, 10);
    int rc = qs_model_open(argv[1], &m, &e);
    if (rc == QS_OK)
        rc = damage_model(m, argv[2], channel, n, strtof(argv[3], NULL), &e);
    if (rc != QS_OK)
        fprintf(stderr, "%s\n", e.msg);
    qs_model_close(m);
    return rc == QS_OK ? 0 : 1;
}
