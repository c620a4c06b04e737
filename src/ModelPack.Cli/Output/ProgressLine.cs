using System.Diagnostics.CodeAnalysis;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>
/// One line on the terminal that is rewritten in place: activity, share done, rate, time left, current tensor. It appears only
/// after a second, so short operations stay silent, and it is erased before anything else is printed. Reports may come from many threads.
/// </summary>
internal sealed class ProgressLine : IProgress<ToolProgress>, IDisposable
{
    /// <summary>Activities whose units are bytes, so that a rate means something.</summary>
    private static readonly HashSet<string> CountsBytes = new(["import", "pack", "unpack", "verify", "export"], StringComparer.Ordinal);

    private static readonly TimeSpan Delay = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);
    private readonly TextWriter _terminal;
    private readonly TimeProvider _time;
    private readonly Func<int> _width;
    private readonly long _begin;
    private readonly Lock _lock = new();
    private string? _activity;
    private long _activityBegin;
    private long _lastDrawn;
    private bool _visible;
    private bool _closed;

    public ProgressLine(TextWriter terminal, TimeProvider time, Func<int> width)
    {
        (_terminal, _time, _width) = (terminal, time, width);
        _begin = time.GetTimestamp();
    }

    public void Report(ToolProgress value)
    {
        lock (_lock)
        {
            long now = _time.GetTimestamp();
            if (_closed)
            {
                return;
            }

            if (value.Activity != _activity)
            {
                (_activity, _activityBegin) = (value.Activity, now);
            }
            else if (_visible && _time.GetElapsedTime(_lastDrawn, now) < Interval)
            {
                return;
            }

            if (_time.GetElapsedTime(_begin, now) < Delay)
            {
                return;
            }

            _terminal.Write("\r\u001b[K" + Line(value, _time.GetElapsedTime(_activityBegin, now).TotalSeconds, _width() - 1));
            _terminal.Flush();
            (_lastDrawn, _visible) = (now, true);
        }
    }

    /// <summary>Erases the line; later reports are ignored.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_visible)
            {
                _terminal.Write("\r\u001b[K");
                _terminal.Flush();
            }

            (_visible, _closed) = (false, true);
        }
    }

    /// <summary>The text of the line, at most <paramref name="width"/> columns.</summary>
    [SuppressMessage("Globalization", "CA1305", Justification = "All numbers go through invariant helpers.")]
    internal static string Line(ToolProgress progress, double seconds, int width)
    {
        string line = progress.Activity;
        if (progress.Total > 0)
        {
            double share = Math.Clamp((double)progress.Done / progress.Total, 0, 1);
            int filled = (int)(share * 20);
            line += $" [{new string('#', filled)}{new string('.', 20 - filled)}] {(int)(share * 100),3} %";
            if (seconds > 0.5 && progress.Done > 0)
            {
                double rate = progress.Done / seconds;
                string speed = CountsBytes.Contains(progress.Activity) ? $"  {ByteSize.Format(rate)}/s" : "";
                line += $"{speed}  {Words.Seconds((progress.Total - progress.Done) / rate)} left";
            }
        }

        if (progress.Item is string item)
        {
            line += "  " + Words.Printable(item);
        }

        return line.Length <= width ? line : line[..Math.Max(0, width)];
    }
}
