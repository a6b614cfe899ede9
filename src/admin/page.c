/* page.c - see page.h. */
#include "admin/page.h"

#include "admin/handlers.h"

void page_write(struct response *a) {
    buf_clear(&a->body);
    a->content_type = "text/html; charset=utf-8";
    a->policy = panel_policy;
    a->fixed = (struct bytes){panel_document, panel_document_len};
    buf_literal(&a->fields, "Cross-Origin-Opener-Policy: same-origin\r\n");
}

void handle_page(struct request *r, struct response *a) {
    (void)r;
    a->status = 200;
    page_write(a);
}
