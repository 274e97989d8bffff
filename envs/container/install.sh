#!/bin/sh
# Install decon3d in an image, with the exact packages of a lock:
#   sh install.sh LOCK_FILE SOURCE
# SOURCE is a folder with the source, or a wheel. Both definitions in this folder call this script.
set -eu
lock=$1
source=$2

# The packages go to the image's Python, so that `--sdm apptainer` runs the jobs of any clone.
python -m pip install --no-cache-dir --no-deps --requirement "$lock"
python -m pip check

# decon3d itself goes to an environment of its own. Otherwise, jobs of a clone would import the
# image's version of decon3d instead of the clone's.
python -m venv --system-site-packages --without-pip /opt/decon3d
python -m pip --python /opt/decon3d/bin/python install --no-cache-dir --no-deps "$source"
ln -s /opt/decon3d/bin/decon3d /usr/local/bin/decon3d
