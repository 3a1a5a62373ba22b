#!/usr/bin/env bash
# usage: record_traces.sh BUILD FOLDER
# Records the heaps of real programs into FOLDER/NAME.trace: Lua 5.4 running a small game, the SQLite shell on a
# database in memory, Bullet stepping a world, a roguelike game fighting a battle. BUILD holds the recorder and the program that drives Bullet. A program
# that is not installed is left out; standard output then has a line "Trace_NAME PACKAGE" (see --without of
# scripts/bench_summary.py).
set -euo pipefail
build="$1"
out="$2"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
recorder="$build/bin/libarenas_trace_recorder.so"
eventsMax=2000000
crawl=/usr/games/crawl
mkdir -p "$out"

# record NAME PACKAGE PROGRAM ARGUMENT...: its standard input goes to the program.
record() {
  local name="$1" package="$2" program
  rm -f "$out/$name.trace"
  if ! program="$(command -v "$3")"; then
    printf 'Trace_%s %s\n' "$name" "$package"
    return 0
  fi
  shift 3
  LD_PRELOAD="$recorder" STADIAL_TRACE_FILE="$out/$name.part" STADIAL_TRACE_EVENTS="$eventsMax" "$program" "$@" >/dev/null
  finish "$name"
}

# finish NAME: what was recorded is complete.
finish() {
  "$build/bin/arenas_trace_tool" --finish "$out/$1.part" >&2
  mv "$out/$1.part" "$out/$1.trace"
}

# crawl_arena FIGHT [VARIABLE=VALUE...]: Dungeon Crawl Stone Soup fights by itself, on a terminal that nobody sees.
crawl_arena() {
  local fight="$1"
  shift
  # It leaves the result in the folder it runs in.
  TERM=xterm script -qec "cd '$crawlFolder' && stty cols 80 rows 24 && env $(printf '%q ' "$@" "$crawl" -dir "$crawlFolder" -rc /dev/null \
    -seed 1 -arena "$fight t:3 delay:0")" /dev/null </dev/null >/dev/null
}

# Its first start builds its databases, which is not recorded; nor are the frames in which it reads its data.
record_crawl() {
  rm -f "$out/crawl.trace"
  if [[ ! -x "$crawl" ]]; then
    printf 'Trace_crawl crawl\n'
    return 0
  fi
  crawlFolder="$(mktemp -d "${TMPDIR:-/tmp}/stadial-crawl.XXXXXX")"
  crawl_arena 'rat v rat'
  crawl_arena '4 orc warrior, 6 orc v 12 kobold, 2 ogre' LD_PRELOAD="$(realpath "$recorder")" \
    STADIAL_TRACE_FILE="$(realpath "$out")/crawl.part" STADIAL_TRACE_EVENTS="$eventsMax" STADIAL_TRACE_SKIP_FRAMES=4
  rm -rf "$crawlFolder"
  finish crawl
}

# A table with two indexes that fills, is searched, grouped and emptied, statement by statement. ".timer on" has the
# shell look at the time of every statement, which ends a frame.
sqlite_statements() {
  awk 'BEGIN {
    print ".timer on"
    print "create table item(id integer primary key, kind text, price real, note text);"
    print "create index by_kind on item(kind); create index by_price on item(price);"
    seed = 1
    for (i = 0; i < 1500; ++i) {
      seed = (seed * 69069 + 1) % 4294967296
      k = seed % 17
      printf "insert into item(kind, price, note) values (\047kind %d\047, %d.%02d, \047note %d of %d %s\047);\n", k, seed % 900, seed % 97, i, seed, substr("lorem ipsum dolor sit amet consectetur", 1, seed % 38)
      if (i % 5 == 0) printf "select kind, count(*), avg(price) from item where price > %d group by kind order by 3 desc;\n", seed % 900
      if (i % 7 == 0) printf "update item set price = price * 1.1 where kind = \047kind %d\047;\n", k
      if (i % 11 == 0) printf "select a.id, b.note from item a join item b on a.kind = b.kind and b.price between a.price and a.price + 1 where a.id %% 10 = %d limit 50;\n", seed % 10
      if (i % 50 == 0) printf "delete from item where id %% 9 = %d;\n", seed % 9
    }
  }'
}

record lua lua5.4 lua5.4 "$here/game.lua" </dev/null
sqlite_statements | record sqlite sqlite3 sqlite3 :memory:
record bullet libbullet-dev "$build/bin/arenas_trace_physics" </dev/null
record_crawl
