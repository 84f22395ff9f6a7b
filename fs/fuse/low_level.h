// libfuse's low-level API in the version dkfs is written for. Included by fs/fuse only.
#pragma once

#define FUSE_USE_VERSION 317
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
