/* error.h - why a function of the library could not do its work.
 *
 * 0 (SWG_OK) is success, everywhere. A refusal to admit a call is not an
 * error: it is an answer, see refusal.h. */
#ifndef SWITCHGEAR_ERROR_H
#define SWITCHGEAR_ERROR_H

#include <switchgear/export.h>

/* name, sentence */
#define SWG_ERRORS(X)                                           \
    X(NOMEM, "out of memory")                                   \
    X(INVALID, "an argument is missing or contradicts another") \
    X(RANGE, "an option is outside its range")                  \
    X(NOT_FOUND, "there is no such object")                     \
    X(FULL, "a bound is reached and nothing can be evicted")    \
    X(REFUSED, "the call was refused; the reason tells why")    \
    X(FAILED, "all attempts and fallbacks failed")              \
    X(CANCELLED, "the caller gave up")                          \
    X(CORRUPT, "the bytes are no snapshot, or a damaged one")   \
    X(VERSION, "the snapshot is of a version this library does not know")

enum swg_error {
    SWG_OK = 0,
#define X(name, sentence) SWG_ERR_##name,
    SWG_ERRORS(X)
#undef X
};

SWG_BEGIN_DECLS
/* "SWG_ERR_NOMEM"; never NULL. */
SWG_API const char *swg_error_name(enum swg_error);
/* A sentence for people, without capital or full stop; never NULL. */
SWG_API const char *swg_error_sentence(enum swg_error);
SWG_END_DECLS

#endif
