// The system's hiredis (Debian: libhiredis-dev), and nothing of ours.
#include <hiredis/hiredis.h>
#include <hiredis/read.h>
