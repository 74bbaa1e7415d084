"""How the report looks: one style sheet, light or dark as the reader's system is."""

STYLE = """
:root{color-scheme:light dark;--bg:#fbfaf8;--card:#fff;--ink:#1d2126;--dim:#68707a;--line:#e3e0da;--soft:#efece6;
--success:#1f9384;--failure:#d9622b;--none:#a3a8ae;--valid:#8fb4d6;--human:#8a5cc2;--invalid:#22262b;--bar:#4a7fb5;
--fault:#c2331f;--look:#b87a00;--note:#4a7fb5}
@media (prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1b1f24;--ink:#e7e5e0;--dim:#98a1ab;--line:#2c323a;
--soft:#242a31;--success:#36b8a6;--failure:#f0844f;--none:#6d747c;--valid:#44698c;--human:#a983de;--invalid:#f4f1ea;
--bar:#6c9fd2;--fault:#ff7a66;--look:#e9b13f;--note:#6c9fd2}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1160px;margin:0 auto;padding:28px 24px 80px}
h1{font-size:26px;line-height:1.2;margin:0;letter-spacing:-.01em}
h2{font-size:18px;margin:44px 0 4px;letter-spacing:-.005em}
h3{font-size:14px;margin:0 0 6px;color:var(--ink)}h3 .sub{font-weight:400}
p{margin:4px 0 12px;max-width:80ch}
.dim,.sub{color:var(--dim)}.sub{font-size:13.5px}
a{color:inherit;text-decoration:none;border-bottom:1px solid var(--line)}
code{font:12.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.tiles{display:flex;flex-wrap:wrap;gap:10px 34px;margin:18px 0 14px}
.tile b{display:block;font-size:25px;font-weight:600;line-height:1.15;letter-spacing:-.01em}
.tile span{color:var(--dim);font-size:13px}
nav{margin:14px 0 0;font-size:13.5px;display:flex;flex-wrap:wrap;gap:2px 16px}
nav a{color:var(--dim)}
svg{display:block;width:100%}
.plot{height:64px}.small .plot{height:40px}.strip{height:13px;background:var(--soft);border-radius:2px}
.bar{height:10px}.labels .bar{height:14px;border-radius:3px}
.success{fill:var(--success)}.failure{fill:var(--failure)}.none{fill:var(--none)}.valid{fill:var(--valid)}
.human{fill:var(--human)}.invalid{fill:var(--invalid)}.fill,.dot{fill:var(--bar)}.thin{fill:var(--line)}
.thick{fill:var(--bar)}.mid{fill:var(--ink)}.out{fill:var(--failure)}
line{vector-effect:non-scaling-stroke;stroke:var(--dim);stroke-width:1;stroke-dasharray:3 3}
line.limit{stroke:var(--failure);stroke-dasharray:none;stroke-width:1.5}line.zero{stroke-dasharray:none}
.key{display:inline-flex;vertical-align:middle;align-items:center;gap:6px;margin-right:16px;font-size:13px;color:var(--dim)}
.key svg{width:11px;height:11px;border-radius:2px}
ul.warn{list-style:none;margin:18px 0 0;padding:0;border-top:1px solid var(--line)}
ul.warn a{border:0}ul.warn a:hover{text-decoration:underline}
ul.warn li{display:grid;grid-template-columns:64px 1fr;gap:10px;padding:6px 0;border-bottom:1px solid var(--line)}
.level{font-size:12px;font-weight:600;padding-top:2px}
.level.fault{color:var(--fault)}.level.look{color:var(--look)}.level.note{color:var(--note)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px;margin:8px 0}
th{font-weight:500;color:var(--dim);text-align:left;font-size:12.5px}
th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:middle}
td.n,th.n{text-align:right;white-space:nowrap}td.wide{min-width:190px}td.text{overflow-wrap:anywhere;max-width:520px}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:16px 22px;margin:12px 0}
.axis{display:flex;justify-content:space-between;color:var(--dim);font-size:11.5px;margin-top:2px}
.small>div+div{margin-top:10px}.stream b{font-weight:400;color:var(--ink)}
.stream{display:grid;grid-template-columns:minmax(200px,300px) 1fr 1fr;gap:8px 28px;padding:14px 0;
border-top:1px solid var(--line)}@media (max-width:760px){.stream{grid-template-columns:1fr}}
.base{border-bottom:1px solid var(--dim)}
.flag{color:var(--fault);font-weight:600}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:12px 28px}
.shots{display:flex;flex-wrap:wrap;gap:14px 16px}
.shot{max-width:100%}.shot .row3{display:flex;flex-wrap:wrap;gap:3px}
.shot img{border-radius:3px;display:block;width:84px;height:auto}
.shot figcaption,.cap{font-size:12px;color:var(--dim);max-width:262px;overflow-wrap:anywhere}
figure{margin:0}
.sort input{position:absolute;opacity:0}
.sort label{font-size:13px;color:var(--dim);margin-right:14px;cursor:pointer;border-bottom:2px solid transparent}
.sort input:checked+label{color:var(--ink);border-color:var(--bar)}
.sort input:focus-visible+label{outline:2px solid var(--bar)}
.rows{display:flex;flex-direction:column;margin-top:10px}
.row{display:grid;grid-template-columns:minmax(90px,190px) 70px 1fr 62px 62px;gap:10px;align-items:center;
font-size:12.5px;padding:2px 0}
.row span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.row .n{text-align:right}
#sort-invalid:checked~.rows .row{order:var(--invalid-rank)}#sort-gap:checked~.rows .row{order:var(--gap-rank)}
#sort-human:checked~.rows .row{order:var(--human-rank)}#sort-length:checked~.rows .row{order:var(--length-rank)}
#sort-name:checked~.rows .row{order:var(--name-rank)}.head{order:-1;color:var(--dim)}
footer{margin-top:50px;color:var(--dim);font-size:12.5px}
@media print{main{max-width:none}nav,.sort label{display:none}}
"""
