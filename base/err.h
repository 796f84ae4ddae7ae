/* err.h - the one way a function of this project fails.
 *
 * A function that can fail returns an `int`: 0 (QS_OK) or one of the codes below, and fills the caller's
 * `struct qs_err` with one line for a person: what happened and where (file, field, offset); and, where there is one, the
 * advice that would mend it, for whoever speaks to the person to put into words (an option, a key, a button).
 * Nothing below src/ prints or exits. A NULL `struct qs_err *` is allowed: the message is dropped, the code stays.
 */
#ifndef QS_BASE_ERR_H
#define QS_BASE_ERR_H

#if defined(__GNUC__)
#define QS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define QS_PRINTF(fmt, args)
#endif

enum qs_code {
    QS_OK = 0,
    QS_ENOMEM,       /* an allocation failed */
    QS_EIO,          /* the operating system refused (open, read, write, rename ...) */
    QS_EFORMAT,      /* a file is damaged or is not what its name says */
    QS_EUNSUPPORTED, /* well-formed, but this program cannot do it */
    QS_EINVAL,       /* the request makes no sense (bad option, bad rule, bad name) */
    QS_ENOTFOUND,    /* a file, tensor or name does not exist */
    QS_EEXISTS,      /* output exists and may not be overwritten */
    QS_EBUSY,        /* another process holds the lock */
    QS_ENOSPACE,     /* disk full, or predicted to become full */
    QS_ECANCELLED,   /* a job was cancelled */
    QS_ELIMIT,       /* a stated bound (size, depth, count, match limit) was exceeded */
};

/* What would mend it. */
enum qs_advice {
    QS_ADVISE_NONE,
    QS_ADVISE_OVERWRITE,          /* allow that the file which is there is overwritten */
    QS_ADVISE_OVERWRITE_OR_OTHER, /* the same, or name another output */
    QS_ADVISE_OTHER_OUTPUT,       /* name another output */
    QS_ADVISE_DISCARD,            /* discard what lies in the way of this work (an unfinished run), or name another output */
    QS_ADVISE_RESTART,            /* start the work again from the beginning */
    QS_ADVISE_REQUANTIZE,         /* allow that quantized tensors are converted again */
    QS_ADVISE_IMATRIX,            /* give an importance matrix, or take another preset */
    QS_ADVISE_SMALLER_PARTS,      /* write smaller parts */
};

#define QS_ERR_MAX 512

struct qs_err {
    enum qs_code code;
    enum qs_advice advice;
    char msg[QS_ERR_MAX]; /* always terminated; UTF-8; no control characters; no trailing newline */
};

#define QS_ERR_INIT { QS_OK, QS_ADVISE_NONE, "" }

/* Fills `e` (may be NULL), without advice, and returns `code`. Control characters in the formatted text are replaced by
 * '?'. */
int qs_fail(struct qs_err *e, enum qs_code code, const char *fmt, ...) QS_PRINTF(3, 4);

/* The same with advice; the message does not say it. */
int qs_fail_advise(struct qs_err *e, enum qs_code code, enum qs_advice advice, const char *fmt, ...) QS_PRINTF(4, 5);

/* Like qs_fail for a failed system call: appends ": " and the text of errno value `errnum`;
 * ENOSPC and EDQUOT become QS_ENOSPACE, ENOMEM QS_ENOMEM, ENOENT QS_ENOTFOUND, everything else QS_EIO. */
int qs_fail_errno(struct qs_err *e, int errnum, const char *fmt, ...) QS_PRINTF(3, 4);

/* QS_ENOMEM with the number of bytes that were asked for and what for. */
int qs_fail_mem(struct qs_err *e, unsigned long long bytes, const char *what);

/* Puts "prefix: " before the message already in `e` (for adding the file name on the way up); the advice
 * stays. Returns e->code. */
int qs_err_prefix(struct qs_err *e, const char *fmt, ...) QS_PRINTF(2, 3);

const char *qs_code_name(enum qs_code code); /* "format", "io", ...: the value of "code" in JSON errors */

#endif
