// Health: what waits on this host and for which store, what was dropped or refused and why, service by service.

import { html, nothing } from "lit-html";
import type { App } from "../app";
import type { Health, Ring, ServiceHealth, Spool } from "../asking/health_answer";
import { panel } from "../drawing/parts";
import { ago, bytes, count, duration, moment } from "../words/format";
import { type Fact, facts } from "./facts";

export function healthPage(app: App) {
  const asked = app.asker.ask<Health>("health", "health");
  const body = asked.answer ? whole(app, asked.answer) : nothing;
  return html`<h1 class="unseen">Health</h1>${panel("health", "Health", asked, body)}`;
}

function whole(app: App, { store, services, recorder, counts, errors }: Health) {
  return html`
    ${errors.map((error) => html`<p class="trouble">${error}</p>`)}
    <h3>Store</h3>
    ${
      store.error
        ? html`<p class="trouble">${store.error}</p>`
        : html`<p><bdi>${store.name}</bdi>: ${
            store.newest_ms
              ? html`the newest record began ${moment(store.newest_ms)} (${ago(store.newest_ms)}), and was stored ${duration(store.lag_ms)} after its request ended.`
              : "no record yet."
          }</p>`
    }
    ${services.map((service) => serviceHealth(app, service))}
    ${services.length ? nothing : html`<p class="empty">No directory of a recorder on this host: nothing waits here. Where the application runs, <code>chest status</code> tells; <code>CHEST_DIRECTORY</code> names another place.</p>`}
    ${recorder ? recorderHealth(recorder, counts) : nothing}`;
}

function recorderHealth(recorder: Fact, counts: Health["counts"]) {
  return html`<h3>The recorder of this process</h3>
    ${counts ? nothing : html`<p class="hint">Only this process, one of those that serve the application: <code>metrics=True</code> also counts records of the other processes: stored, dropped, refused.</p>`}
    ${facts(recorder)}
    ${counts ? html`<h3>All processes of the application</h3>${facts(counts)}` : nothing}`;
}

function serviceHealth(app: App, service: ServiceHealth) {
  const { rings, spools, set_aside: aside } = service;
  return html`<section aria-label=${`Service ${service.service}`}>
    <h3><bdi>${service.service}</bdi> <small><bdi>${service.directory}</bdi></small></h3>
    <p>${service.needs_care ? html`<strong class="how">Needs care.</strong>` : "All is well."} ${
      service.oldest_ms
        ? `The oldest record that waits is from ${moment(service.oldest_ms)} (${ago(service.oldest_ms)}).`
        : "No record waits."
    }</p>
    ${rings.length ? ringTable(rings) : nothing} ${spools.length ? spoolTable(app, spools) : nothing}
    ${aside.length ? html`<p>Set aside, since they could not be read: ${aside.join(", ")}</p>` : nothing}
  </section>`;
}

function ringTable(rings: Ring[]) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Rings"><table>
    <thead><tr><th scope="col" class="group">Ring</th><th scope="col">Process</th><th scope="col">Records that wait</th><th scope="col">Size</th><th scope="col">Oldest</th><th scope="col">In flight</th><th scope="col">Trouble</th></tr></thead>
    <tbody>${rings.map(
      (ring) => html`<tr>
        <th scope="row" class="group"><bdi>${ring.file}</bdi></th><td>${ring.is_living ? "lives" : "is dead"}</td><td>${count(ring.records)}</td>
        <td>${bytes(ring.bytes)}</td><td>${ring.oldest_ms ? ago(ring.oldest_ms) : "–"}</td><td>${count(ring.in_flight)}</td><td>${ring.complaint || "none"}</td>
      </tr>`,
    )}</tbody>
  </table></div>`;
}

function spoolTable(app: App, spools: Spool[]) {
  const letters = spools.flatMap((spool) => spool.letters);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Spools"><table>
      <thead><tr><th scope="col" class="group">Spool for</th><th scope="col">Records that wait</th><th scope="col">Size</th><th scope="col">Oldest</th><th scope="col">Dead letters</th><th scope="col">Why</th></tr></thead>
      <tbody>${spools.map(
        (spool) => html`<tr>
          <th scope="row" class="group"><bdi>${spool.chest}</bdi>${spool.is_orphan ? " (no application uses it)" : ""}</th><td>${count(spool.records)}</td>
          <td>${bytes(spool.bytes)}</td><td>${spool.oldest_ms ? ago(spool.oldest_ms) : "–"}</td><td>${count(spool.dead_letters)}</td>
          <td>${spool.complaint || spool.why || "–"}</td>
        </tr>`,
      )}</tbody>
    </table></div>
    ${
      letters.length
        ? html`<h4>Dead letters: refused by their store for good</h4>
          <ul>${letters.map(
            (letter) =>
              html`<li>${moment(letter.refused_ms)} <a href=${app.href("record", { id: letter.id })}><bdi>${letter.method} ${letter.path.slice(0, 120)}</bdi></a>: <bdi>${letter.reason.slice(0, 300)}</bdi></li>`,
          )}</ul>
          <p class="hint"><code>chest dead</code> retries or drops them; this page only reads.</p>`
        : nothing
    }`;
}
