"""An applet for ARTIQ's dashboard: the channels of a lab PC's DDS, live.

In the dashboard, "New applet" with this command; it needs nothing of artiq_link::

    $python applet_link.py --server 192.168.1.20 --port-notify 65432

The lab PC itself tells it of changes, as the master tells the stock applets of datasets. While the
lab PC is away the applet is grey.
"""

import asyncio

from artiq.applets.simple import SimpleApplet
from qasync import QtCore, QtWidgets  # the Qt that ARTIQ has: 5 with ARTIQ 8, 6 with ARTIQ 9
from sipyco.sync_struct import Subscriber

COLUMNS = ["channel", "frequency", "phase", "amplitude", "output", "activity"]
PAUSE = 2.0  # seconds before a lab PC that is not there is tried again


class ChannelsWidget(QtWidgets.QTableWidget):
    """A row for each channel; what nobody knows is a question mark."""

    def __init__(self, args, req):
        super().__init__(0, len(COLUMNS))
        self.instrument = args.instrument
        self.title = f"{self.instrument} at {args.server}"
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setEditTriggers(self.EditTrigger.NoEditTriggers)
        self.setSelectionMode(self.SelectionMode.NoSelection)
        self.verticalHeader().hide()
        fitting = QtWidgets.QHeaderView.ResizeMode.ResizeToContents
        self.horizontalHeader().setSectionResizeMode(fitting)
        self.horizontalHeader().setStretchLastSection(True)
        self.resize(800, 200)
        self.connection_lost()

    def state_changed(self, instruments):
        """Show the newest states of the lab PC's instruments, by their names."""
        self.setWindowTitle(self.title)
        self.setEnabled(True)
        channels = (instruments.get(self.instrument) or {}).values()
        self.setRowCount(len(channels))
        for row, channel in enumerate(channels):
            for column, text in enumerate(texts_of(channel)):
                item = QtWidgets.QTableWidgetItem(text)
                item.setTextAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
                self.setItem(row, column, item)

    def connection_lost(self):
        """Grey what is shown, because it is of the past."""
        self.setWindowTitle(f"{self.title}: no connection")
        self.setEnabled(False)


def texts_of(channel):
    """A channel's state in the columns of its row."""
    frequency, running = channel["frequency"], channel.get("running")
    activity = channel["activity"]
    if running is not None and running["fraction"] is not None:
        activity = f"{activity}, {running['fraction']:.0%}"
    return [
        channel["name"],
        "?" if frequency is None else f"{frequency / 1e6:.6f} MHz",
        known(channel["phase"], "{:.4f} turns"),
        known(channel["amplitude"], "{:.4f}"),
        {None: "?", True: "on", False: "off"}[channel["output"]],
        "?" if activity is None else activity.replace("_", " "),
    ]


def known(value, form):
    """A number as text."""
    return "?" if value is None else form.format(value)


class LinkApplet(SimpleApplet):
    """Subscribes to the lab PC, in the dashboard too, and asks the master for nothing."""

    def req_init(self):
        self.req = None

    def req_close(self):
        pass

    def subscribe(self):
        if self.embed is not None:  # the dashboard says when it is to end
            self.ipc.subscribe([], lambda data: data, lambda mod: None, loop=self.loop)
        self.following = self.loop.create_task(self.follow())

    async def follow(self):
        """Show what the lab PC tells, and again when it has been away."""
        while True:
            lost = asyncio.Event()
            subscriber = Subscriber("link", self.build, self.notify, lost.set)
            try:
                await subscriber.connect(self.args.server, self.args.port_notify)
            except OSError:
                pass
            else:
                try:
                    await lost.wait()
                finally:
                    await subscriber.close()
                self.main_widget.connection_lost()
            await asyncio.sleep(PAUSE)

    def build(self, instruments):
        self.instruments = instruments
        return instruments

    def notify(self, mod):
        self.main_widget.state_changed(self.instruments)

    def unsubscribe(self):
        self.following.cancel()
        self.loop.run_until_complete(asyncio.wait([self.following]))


def main():
    """Run the applet, on its own or in the dashboard."""
    applet = LinkApplet(ChannelsWidget)
    applet.argparser.add_argument("--instrument", default="dds", help="default: %(default)s")
    applet.run()


if __name__ == "__main__":
    main()
