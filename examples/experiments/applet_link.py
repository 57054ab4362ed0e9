"""An applet for ARTIQ's dashboard: the channels of a lab PC's DDS, live.

In the dashboard, "New applet" with this command; it needs nothing of artiq_link::

    python applet_link.py --server 192.168.1.20 --port-notify 65432

The lab PC itself tells it of changes, as the master tells the stock applets of datasets.
"""

from artiq.applets.simple import SimpleApplet
from qasync import QtCore, QtWidgets  # the Qt that ARTIQ has: 5 with ARTIQ 8, 6 with ARTIQ 9
from sipyco.sync_struct import Subscriber

COLUMNS = ["channel", "frequency", "phase", "amplitude", "output", "activity"]


class ChannelsWidget(QtWidgets.QTableWidget):
    """A row for each channel; what nobody knows is a question mark."""

    def __init__(self, args, req):
        super().__init__(0, len(COLUMNS))
        self.instrument = args.instrument
        self.setWindowTitle(f"{self.instrument} at {args.server}")
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setEditTriggers(self.EditTrigger.NoEditTriggers)
        self.setSelectionMode(self.SelectionMode.NoSelection)
        self.verticalHeader().hide()
        fitting = QtWidgets.QHeaderView.ResizeMode.ResizeToContents
        self.horizontalHeader().setSectionResizeMode(fitting)
        self.horizontalHeader().setStretchLastSection(True)
        self.resize(800, 200)

    def state_changed(self, instruments):
        """Show the newest states of the lab PC's instruments, by their names."""
        channels = (instruments.get(self.instrument) or {}).values()
        self.setRowCount(len(channels))
        for row, channel in enumerate(channels):
            for column, text in enumerate(texts_of(channel)):
                item = QtWidgets.QTableWidgetItem(text)
                item.setTextAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
                self.setItem(row, column, item)

    def connection_lost(self):
        """Show that what is shown is of the past."""
        self.setWindowTitle("connection lost")
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

        def build(instruments):
            self.instruments = instruments
            return instruments

        def notify(mod):
            self.main_widget.state_changed(self.instruments)

        self.subscriber = Subscriber("link", build, notify, self.main_widget.connection_lost)
        connecting = self.subscriber.connect(self.args.server, self.args.port_notify)
        self.loop.run_until_complete(connecting)

    def unsubscribe(self):
        self.loop.run_until_complete(self.subscriber.close())


def main():
    """Run the applet, on its own or in the dashboard."""
    applet = LinkApplet(ChannelsWidget)
    applet.argparser.add_argument("--instrument", default="dds", help="default: %(default)s")
    applet.run()


if __name__ == "__main__":
    main()
