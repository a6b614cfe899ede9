/* http1_error.c - names, sentences and statuses of protocol errors, all from the
 * rows of HTTP1_ERRORS. */
#include "wire/http1.h"

static const struct {
    const char *name, *sentence;
    int status;
} errors[] = {{"OK", "no error", 200},
#define X(code, status, sentence) {#code, sentence, status},
              HTTP1_ERRORS(X)
#undef X
};

static unsigned error_index(enum http1_error error) {
    return (unsigned)error < sizeof errors / sizeof errors[0] ? (unsigned)error : 0;
}

const char *http1_error_name(enum http1_error error) {
    return errors[error_index(error)].name;
}

const char *http1_error_sentence(enum http1_error error) {
    return errors[error_index(error)].sentence;
}

int http1_error_status(enum http1_error error) {
    return errors[error_index(error)].status;
}
