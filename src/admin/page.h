/* page.h - the panel, made one document at build time from panel/, with
 * the hashes that its Content-Security-Policy names. */
#ifndef SWG_ADMIN_PAGE_H
#define SWG_ADMIN_PAGE_H

#include <stddef.h>

/* Written by scripts/embed. */
extern const char panel_document[];
extern const size_t panel_document_len;
extern const char panel_policy[];

#endif
