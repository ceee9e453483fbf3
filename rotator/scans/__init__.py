"""Reports of image scanners: found in a folder, or made by running one."""
