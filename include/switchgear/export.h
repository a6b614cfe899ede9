/* export.h - marks what the shared library shows, for C and C++. */
#ifndef SWITCHGEAR_EXPORT_H
#define SWITCHGEAR_EXPORT_H

#define SWG_API __attribute__((visibility("default")))

#ifdef __cplusplus
#define SWG_BEGIN_DECLS extern "C" {
#define SWG_END_DECLS   }
#else
#define SWG_BEGIN_DECLS
#define SWG_END_DECLS
#endif

#endif
