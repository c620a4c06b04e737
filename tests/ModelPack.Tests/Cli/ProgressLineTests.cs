using ModelPack.Cli;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Cli;

public sealed class ProgressLineTests
{
    [Fact]
    public void Line_shows_share_rate_and_time_left()
    {
        string line = ProgressLine.Line(new ToolProgress("pack", 250_000_000, 1_000_000_000, "model.embed"), seconds: 0.6, width: 200);

        Assert.Equal("pack [#####...............]  25 %  417 MB/s  1.8 s left  model.embed", line);
    }

    [Fact]
    public void Line_shows_no_byte_rate_for_what_is_not_counted_in_bytes() =>
        Assert.Equal("evaluate [##########..........]  50 %  2.0 s left", ProgressLine.Line(new ToolProgress("evaluate", 10, 20), seconds: 2, width: 200));

    [Fact]
    public void Line_without_a_total_shows_only_what_is_known() =>
        Assert.Equal("import  a.onnx", ProgressLine.Line(new ToolProgress("import", 5, 0, "a.onnx"), seconds: 3, width: 200));

    [Fact]
    public void Line_fits_narrow_terminals() =>
        Assert.Equal(30, ProgressLine.Line(new ToolProgress("pack", 1, 2, new string('x', 300)), seconds: 3, width: 30).Length);

    [Fact]
    public void Line_keeps_control_characters_of_names_off_the_terminal() =>
        Assert.DoesNotContain('\u001b', ProgressLine.Line(new ToolProgress("pack", 1, 0, "evil\u001b[2J"), seconds: 3, width: 200));

    [Fact]
    public void Report_draws_nothing_in_the_first_second_and_erases_itself_at_the_end()
    {
        var time = new ManualTime();
        var terminal = new StringWriter();
        var progress = new ProgressLine(terminal, time, () => 80);

        time.Advance(TimeSpan.FromMilliseconds(900));
        progress.Report(new ToolProgress("pack", 1, 10));
        Assert.Equal("", terminal.ToString());

        time.Advance(TimeSpan.FromMilliseconds(200));
        progress.Report(new ToolProgress("pack", 2, 10));
        progress.Report(new ToolProgress("pack", 3, 10));
        string drawn = terminal.ToString();
        Assert.Contains("20 %", drawn, StringComparison.Ordinal);
        Assert.DoesNotContain("30 %", drawn, StringComparison.Ordinal);

        progress.Dispose();
        progress.Report(new ToolProgress("pack", 10, 10));
        Assert.EndsWith("\r\u001b[K", terminal.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Report_after_a_short_operation_leaves_no_trace()
    {
        var terminal = new StringWriter();
        var progress = new ProgressLine(terminal, new ManualTime(), () => 80);

        progress.Report(new ToolProgress("pack", 10, 10));
        progress.Dispose();

        Assert.Equal("", terminal.ToString());
    }

    private sealed class ManualTime : TimeProvider
    {
        private long _ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _ticks;

        public void Advance(TimeSpan by) => _ticks += by.Ticks;
    }
}
