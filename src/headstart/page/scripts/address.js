// What is chosen stands in the address (#img=..&sort=..), so that a view can be sent to somebody else.

const address = {
  read: () => new URLSearchParams(location.hash.slice(1)),
  // Only what differs from how the page opens; anchors of sections stay what they are.
  write(values) {
    const said = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== null));
    const text = said.toString();
    const isAnchor = location.hash && !location.hash.includes("=");
    if (text || !isAnchor) history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  },
};
