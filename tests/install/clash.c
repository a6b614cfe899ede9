/* A program with names of its own that the library's insides might have too. */
#include <switchgear/switchgear.h>

int buf_append, arena_alloc, list_remove, window_init, heap_insert, admit, record, run, settle;

int main(void) {
    struct swg_breaker *b;
    if (swg_breaker_create(&b, NULL, 1, swg_now()) != SWG_OK)
        return 1;
    swg_breaker_destroy(b);
    return buf_append + arena_alloc + list_remove + window_init + heap_insert + admit + record +
           run + settle;
}
