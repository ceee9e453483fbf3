#!/bin/sh
exec su-exec app litefs mount
