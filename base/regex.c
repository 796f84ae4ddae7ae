/* regex.c - regular expressions with bounds. The only file that knows PCRE2.
 *
 * Owns a compiled pattern and the bounds every search runs under: steps, depth, memory. Patterns and texts may come
 * from anybody: a pattern that would run for ages ends with QS_ELIMIT. A compiled pattern never changes; each search
 * has its own working memory, so threads may share it.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"

#define PATTERN_MAX 4096     /* bytes */
#define NESTING_MAX 100      /* parentheses inside parentheses */
#define MATCH_LIMIT 10000000 /* steps of one search */
#define DEPTH_LIMIT 100000   /* nested backtracking, interpreter only */
#define HEAP_LIMIT_KIB 20480

struct qs_regex {
    pcre2_code *code;
    pcre2_general_context *general;
    pcre2_match_context *limits;
    bool checked; /* the caller vouches for valid UTF-8 */
};

static void *take(PCRE2_SIZE n, void *data)
{
    (void)data;
    return qs_malloc(n);
}

static void give(void *p, void *data)
{
    (void)data;
    qs_free(p);
}

void qs_regex_free(struct qs_regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    pcre2_match_context_free(r->limits);
    pcre2_general_context_free(r->general);
    qs_free(r);
}

/* The library's words for one of its codes. */
static const char *reason(int code, char *buf, size_t n)
{
    if (pcre2_get_error_message(code, (PCRE2_UCHAR *)buf, n) < 0 && buf[0] == 0)
        memcpy(buf, "unknown error", sizeof "unknown error");
    return buf;
}

static int compile(struct qs_regex *r, const char *pattern, size_t n, unsigned flags, struct qs_err *e)
{
    pcre2_compile_context *bounds = pcre2_compile_context_create(r->general);
    if (!bounds)
        return qs_fail_mem(e, n, "a regular expression");
    pcre2_set_parens_nest_limit(bounds, NESTING_MAX);
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    if (flags & QS_REGEX_ICASE)
        options |= PCRE2_CASELESS;
    int code = 0;
    PCRE2_SIZE at = 0;
    r->code = pcre2_compile((PCRE2_SPTR)pattern, n, options, &code, &at, bounds);
    pcre2_compile_context_free(bounds);
    if (r->code)
        return QS_OK;
    char why[160] = "";
    /* 121: the library's code for "failed to allocate heap memory" while compiling; it has no name in its header. */
    if (code == 121)
        return qs_fail_mem(e, n, "a regular expression");
    return qs_fail(e, QS_EINVAL, "bad regular expression '%.200s' at offset %zu: %s", pattern, (size_t)at,
                   reason(code, why, sizeof why));
}

int qs_regex_compile(const char *pattern, unsigned flags, struct qs_regex **out, struct qs_err *e)
{
    *out = NULL;
    size_t n = strlen(pattern);
    if (n > PATTERN_MAX)
        return qs_fail(e, QS_ELIMIT, "the regular expression '%.60s...' has %zu bytes, more than %d", pattern, n,
                       PATTERN_MAX);
    struct qs_regex *r = qs_calloc(1, sizeof *r);
    if (!r)
        return qs_fail_mem(e, sizeof *r, "a regular expression");
    r->checked = (flags & QS_REGEX_CHECKED) != 0;
    r->general = pcre2_general_context_create(take, give, NULL);
    r->limits = r->general ? pcre2_match_context_create(r->general) : NULL;
    int rc = r->limits ? compile(r, pattern, n, flags, e) : qs_fail_mem(e, n, "a regular expression");
    if (rc) {
        qs_regex_free(r);
        return rc;
    }
    pcre2_set_match_limit(r->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(r->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(r->limits, HEAP_LIMIT_KIB);
    /* Faster when it works; systems that forbid writable code make it fail, and then the interpreter runs. */
    (void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
    *out = r;
    return QS_OK;
}

static int search_failed(int code, struct qs_err *e)
{
    char why[160] = "";
    switch (code) {
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_JIT_STACKLIMIT:
    case PCRE2_ERROR_RECURSELOOP:
        (void)qs_fail(e, QS_ELIMIT, "a regular expression takes too many steps: %s",
                      reason(code, why, sizeof why));
        break;
    case PCRE2_ERROR_NOMEMORY: (void)qs_fail(e, QS_ENOMEM, "out of memory in a regular expression"); break;
    case PCRE2_ERROR_BADUTFOFFSET:
        (void)qs_fail(e, QS_EINVAL, "a search cannot start inside a UTF-8 character");
        break;
    default: (void)qs_fail(e, QS_EFORMAT, "the text searched is not valid UTF-8: %s", reason(code, why, sizeof why));
    }
    return -1;
}

int qs_regex_find(const struct qs_regex *r, const char *s, size_t n, size_t start, size_t span[2], struct qs_err *e)
{
    if (start > n)
        return 0;
    uint32_t options = r->checked ? PCRE2_NO_UTF_CHECK : 0;
    if (r->checked && start < n && ((unsigned char)s[start] & 0xC0) == 0x80)
        return search_failed(PCRE2_ERROR_BADUTFOFFSET, e);
    /* Room for the whole match only: groups are never asked for. */
    pcre2_match_data *found = pcre2_match_data_create(1, r->general);
    if (!found)
        return search_failed(PCRE2_ERROR_NOMEMORY, e);
    PCRE2_SPTR text = (PCRE2_SPTR)(n ? s : "");
    int rc = pcre2_match(r->code, text, n, start, options, found, r->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the compiled form has a small fixed stack, the interpreter a larger one */
        rc = pcre2_match(r->code, text, n, start, options | PCRE2_NO_JIT, found, r->limits);
    if (rc >= 0 && span) {
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(found);
        span[0] = ends[0];
        span[1] = ends[1] < ends[0] ? ends[0] : ends[1]; /* \K inside a lookahead can turn them round */
    }
    pcre2_match_data_free(found);
    if (rc >= 0)
        return 1;
    return rc == PCRE2_ERROR_NOMATCH ? 0 : search_failed(rc, e);
}
