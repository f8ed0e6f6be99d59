#!/usr/bin/env bash
# hatchling 1.33.0, Python 3.11, build 1.6.1.
#
# The good guess: what git ignores has no influence on what hatchling puts into a source distribution.
# Seen: hatchling walks ignored folders too (unless `skip-excluded-dirs = true`), follows links there,
# and remembers each folder that it has been in. Where a link in an ignored folder, earlier in the
# alphabet, leads to a folder of the project, that folder is walked there, left out as ignored, and
# then skipped where it belongs: the distribution lacks it, and the build ends with success.
# Ends with 1 if the folder is there. Needs python3 (3.11) and PyPI.
set -euo pipefail
work=$(mktemp -d) && cd "$work"
python3 -m venv venv && venv/bin/pip install --quiet 'build==1.6.1' 'hatchling==1.33.0'
mkdir -p project/shop project/prices project/runs && cd project
echo > shop/__init__.py && echo '1,2' > prices/list.csv && echo '/runs/' > .gitignore
cat > pyproject.toml <<'TOML'
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "shop"
version = "1"
[tool.hatch.build.targets.sdist]
include = ["/shop", "/prices"]
TOML
held() {
  rm -rf ../dist
  ../venv/bin/python -m build --no-isolation --sdist --outdir ../dist . >/dev/null 2>&1
  tar tzf ../dist/*.tar.gz | grep -c '/shop/\|/prices/' || true
}
before=$(held)
ln -s ../shop runs/shop
after=$(held)
printf '[tool.hatch.build]\nskip-excluded-dirs = true\n' >> pyproject.toml
skipping=$(held)
echo "files of shop/ and prices/ in the distribution: $before; with a link to shop/ in an ignored folder:"
echo "$after; with skip-excluded-dirs: $skipping"
status=1
[ "$before" = 2 ] && [ "$after" = 1 ] && [ "$skipping" = 2 ] && status=0
rm -rf "$work"
exit "$status"
