/* fuzz_jinja.c - any bytes as a chat template: it compiles or says why, runs or says why, ends within its bounds, and
 * what it writes is UTF-8. */
#include <stdlib.h>
#include <string.h>

#include "base/unicode.h"
#include "core/text/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
    if (!truth)
        abort();
}

static struct qs_json *extra;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct qs_chat_message talk[] = { { "system", "S \xC3\xA9" },
                                                   { "user", " a\nb " },
                                                   { "assistant", "A" } };
    static const char more[] =
        "{\"s\": \"Hello World\", \"u\": \"na\\u00efve \\u4e1c\", \"e\": \"\", \"sp\": \"  two  words \\n\", \"n\": "
        "null, \"t\": true,\"f\": false, \"i\": 42, \"x\": 3.25, \"l\": [3, 1, 2], \"w\": [\"b\", \"A\", \"c\"], "
        "\"el\": [], \"html\": \"<a>\",\"d\": {\"b\": 1, \"a\": 2, \"C\": [1, {\"k\": \"v\"}]}, \"lines\": "
        "\"a\\nb\\r\\nc\",\"m\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": "
        "\"Q\"}],\"p\": [{\"n\": \"x\", \"v\": 2, \"o\": {\"k\": [1]}}, {\"n\": \"y\", \"v\": 1, \"o\": {\"k\": []}}]}";
    struct qs_chat_args a = { .messages = talk, .n_messages = 3, .add_generation_prompt = true, .bos_token = "<s>" };
    struct qs_chat_template *t = NULL;
    struct qs_str out = QS_STR_INIT;
    struct qs_err e = QS_ERR_INIT;
    if (!extra)
        must(qs_json_parse(more, sizeof more - 1, &extra, NULL) == QS_OK);
    a.extra = extra;
    int rc = qs_chat_template_new((const char *)data, size, &t, &e);
    if (!rc)
        rc = qs_chat_render(t, &a, &out, &e);
    must(rc == QS_OK ? qs_utf8_invalid_at(out.data, out.len) == out.len
                     : (int)e.code == rc && e.msg[0] && out.len == 0);
    qs_chat_template_free(t);
    qs_str_free(&out);
    return 0;
}
