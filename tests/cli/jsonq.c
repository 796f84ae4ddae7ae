/* jsonq.c - jsonq FILE PATH: prints one value of a JSON file, for the shell tests.
 *
 * PATH: "tensors[3].name"; "" is the whole; "tensors.#" the number of items or members; "@" prints the path of every value
 * instead, numbers of items left out ("tensors[].name"). Strings are printed bare,
 * numbers in the shortest form. Exit code 1 when there is no such value, 2 when FILE is not one JSON value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

static const struct qs_json *member(const struct qs_json *v, const char *key, size_t n)
{
    for (size_t i = 0; qs_json_type(v) == QS_JSON_OBJECT && i < qs_json_len(v); i++) {
        const struct qs_json *value = NULL;
        const char *name = qs_json_key_at(v, i, &value);
        if (strlen(name) == n && memcmp(name, key, n) == 0)
            return value;
    }
    return NULL;
}

static bool has(const struct qs_json *v, const char *key, size_t n)
{
    for (size_t i = 0; qs_json_type(v) == QS_JSON_OBJECT && i < qs_json_len(v); i++) {
        const char *name = qs_json_key_at(v, i, NULL);
        if (strlen(name) == n && memcmp(name, key, n) == 0)
            return true;
    }
    return false;
}

static void print_paths(const struct qs_json *v, const char *path)
{
    struct qs_str s = QS_STR_INIT;
    const bool object = qs_json_type(v) == QS_JSON_OBJECT, array = qs_json_type(v) == QS_JSON_ARRAY;
    for (size_t i = 0; (object || array) && i < qs_json_len(v); i++) {
        const struct qs_json *value = NULL;
        const char *name = object ? qs_json_key_at(v, i, &value) : "";
        qs_str_clear(&s);
        if (object)
            qs_str_addf(&s, "%s%s%s", path, *path ? "." : "", name);
        else
            qs_str_addf(&s, "%s[]", path);
        print_paths(object ? value : qs_json_at(v, i), s.data);
    }
    if (!object && !array)
        (void)printf("%s\n", path);
    qs_str_free(&s);
}

int main(int argc, char **argv)
{
    struct qs_err e = QS_ERR_INIT;
    struct qs_json *root = NULL;
    struct qs_str text = QS_STR_INIT;
    char *data = NULL;
    size_t len = 0;
    if (argc != 3 || qs_file_read(argv[1], (size_t)1 << 30, &data, &len, &e) || qs_json_parse(data, len, &root, &e)) {
        (void)fprintf(stderr, "jsonq: %s\n", argc != 3 ? "usage: jsonq FILE PATH" : e.msg);
        qs_free(data);
        return 2;
    }
    const struct qs_json *v = root;
    int rc = 0;
    if (strcmp(argv[2], "@") == 0) {
        print_paths(root, "");
        goto done;
    }
    for (const char *p = argv[2]; *p && rc == 0; ) {
        size_t n;
        p += *p == '.';
        n = strcspn(p, ".[");
        if (*p == '[') {
            char *end = NULL;
            size_t i = strtoul(p + 1, &end, 10);
            rc = qs_json_type(v) == QS_JSON_ARRAY && i < qs_json_len(v) && *end == ']' ? 0 : 1;
            v = rc == 0 ? qs_json_at(v, i) : NULL;
            p = end + (*end == ']');
        } else if (n == 1 && *p == '#') {
            (void)printf("%zu\n", qs_json_len(v));
            goto done;
        } else {
            rc = has(v, p, n) ? 0 : 1;
            v = member(v, p, n);
            p += n;
        }
    }
    if (rc == 0 && qs_json_type(v) == QS_JSON_STRING)
        (void)printf("%s\n", qs_json_str(v, ""));
    else if (rc == 0 && !v)
        (void)printf("null\n");
    else if (rc == 0 && qs_json_print(v, false, &text))
        (void)printf("%s\n", text.data);
done:
    qs_str_free(&text);
    qs_json_free(root);
    qs_free(data);
    return rc;
}
