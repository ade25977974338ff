// In place of sw.js while a model is tried: the next model may be served at the same address.

self.addEventListener("install", () => self.skipWaiting());

self.addEventListener("activate", (event) => {
  event.waitUntil(forget());
});

async function forget() {
  const names = await caches.keys();
  await Promise.all(names.map((name) => caches.delete(name)));
  await self.registration.unregister();
  if (!names.length) return;
  for (const page of await self.clients.matchAll({ includeUncontrolled: true })) page.navigate(page.url);
}
