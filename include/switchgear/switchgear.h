/* switchgear.h - all of libswitchgear. */
#ifndef SWITCHGEAR_H
#define SWITCHGEAR_H

#include <switchgear/breaker.h>
#include <switchgear/bulkhead.h>
#include <switchgear/call.h>
#include <switchgear/clock.h>
#include <switchgear/error.h>
#include <switchgear/policy.h>
#include <switchgear/rate_limit.h>
#include <switchgear/refusal.h>
#include <switchgear/registry.h>
#include <switchgear/retry.h>
#include <switchgear/run.h>
#include <switchgear/shadow.h>
#include <switchgear/snapshot.h>
#include <switchgear/time.h>

#endif
