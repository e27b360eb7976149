"""A run of the drivers as one HTML file: a map without tiles, on which it is played again. Pure; fetches nothing."""

import json
from typing import Final

from demo.drivers import DriversStory, result
from demo.streets import BLOCKS, street

__all__ = ["map_page"]

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Fanfare: drivers</title><style>
:root{color-scheme:light dark;--ink:#1f2933;--ground:#f5f7fa;--street:#d9dee5;--car:#c2410c}
@media(prefers-color-scheme:dark){:root{--ink:#e4e7eb;--ground:#0b0f14;--street:#28323d;--car:#fdba74}}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:900px;margin:0 auto;padding:24px 16px}canvas{width:100%;height:auto;border-radius:10px}
table{border-collapse:collapse}td,th{padding:4px 12px 4px 0;text-align:left}
button{font:inherit;padding:4px 14px}input{width:60%}</style></head><body><main>
<h1>Drivers, once a second</h1>
<p><button id="play">Pause</button>
<input id="time" type="range" min="0" aria-label="Second"> <output id="now"></output></p>
<canvas id="map" width="900" height="900" role="img" aria-label="Where the drivers are"></canvas>
<h2>What was measured</h2><table>ROWS</table></main><script>
const tracks=TRACKS,streets=STREETS,box=BOX;
const canvas=document.getElementById("map"),pen=canvas.getContext("2d"),range=document.getElementById("time");
const length=Math.max(1,...tracks.map(t=>t.length));range.max=length-1;
let at=0,playing=!matchMedia("(prefers-reduced-motion: reduce)").matches,last=0;
const x=lon=>20+(lon-box[0])/(box[2]-box[0]||1)*860,y=lat=>880-(lat-box[1])/(box[3]-box[1]||1)*860;
const colour=name=>getComputedStyle(document.documentElement).getPropertyValue(name);
function draw(){pen.clearRect(0,0,900,900);pen.strokeStyle=colour("--street");pen.lineWidth=2;
for(const line of streets){pen.beginPath();
line.forEach(([a,o],i)=>i?pen.lineTo(x(o),y(a)):pen.moveTo(x(o),y(a)));pen.stroke()}
pen.fillStyle=colour("--car");const s=Math.floor(at),f=at-s;
for(const t of tracks){const a=t[Math.min(s,t.length-1)],b=t[Math.min(s+1,t.length-1)];
pen.beginPath();pen.arc(x(a[1]+(b[1]-a[1])*f),y(a[0]+(b[0]-a[0])*f),5,0,7);pen.fill()}
range.value=s;document.getElementById("now").value=s+" s"}
function tick(now){if(playing){at=(at+Math.min(now-last,200)/250)%length;draw()}last=now;requestAnimationFrame(tick)}
document.getElementById("play").onclick=e=>{playing=!playing;e.target.textContent=playing?"Pause":"Play"};
document.getElementById("play").textContent=playing?"Pause":"Play";
range.oninput=()=>{at=+range.value;draw()};draw();requestAnimationFrame(tick);
</script></body></html>
"""


def map_page(story: DriversStory) -> str:
    """The whole file."""
    tracks = list(story.places.values())
    grid = not story.choice.tracks
    streets = (
        [[street(row, 0), street(row, BLOCKS)] for row in range(BLOCKS + 1)]
        + [[street(0, column), street(BLOCKS, column)] for column in range(BLOCKS + 1)]
        if grid
        else [list(track) for track in story.choice.tracks]
    )
    places = [place for line in (*tracks, *streets) for place in line] or [(0.0, 0.0)]
    lats, lons = [lat for lat, _ in places], [lon for _, lon in places]
    rows = "".join(
        f"<tr><th>{name.replace('_', ' ')}</th><td>{value}</td></tr>" for name, value in result(story).items()
    )
    found = _PAGE.replace("ROWS", rows).replace("TRACKS", json.dumps(tracks))
    found = found.replace("STREETS", json.dumps(streets))
    return found.replace("BOX", json.dumps([min(lons), min(lats), max(lons), max(lats)]))
