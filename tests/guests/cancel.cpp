// `cancel.c`, where a destructor has to run as well.
#include "cancel.h"
