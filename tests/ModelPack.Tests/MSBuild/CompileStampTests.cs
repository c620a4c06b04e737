extern alias BuildTask;

using BuildTask::ModelPack.MSBuild;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.MSBuild;

/// <summary>When an artifact is up to date. The clock is the test's, so that nothing waits.</summary>
public sealed class CompileStampTests : IDisposable
{
    private readonly TempFolder _folder = new();

    [Fact]
    public void IsCurrent_nothingChanged_readsNothing()
    {
        CompileStamp stamp = Stamp(new Clock(TimeSpan.FromHours(1)));

        Assert.True(stamp.IsCurrent(new Clock(TimeSpan.FromHours(2)), out CompileStamp refreshed, CancellationToken.None));
        Assert.Same(stamp, refreshed);
    }

    [Fact]
    public void IsCurrent_sameBytesAtAnotherTime_isCurrentAndRemembersTheTime()
    {
        CompileStamp stamp = Stamp(new Clock(TimeSpan.FromHours(1)));
        File.SetLastWriteTimeUtc(_folder["model/weights.bin"], DateTime.UtcNow.AddDays(-3));

        Assert.True(stamp.IsCurrent(new Clock(TimeSpan.FromHours(2)), out CompileStamp refreshed, CancellationToken.None));
        Assert.NotSame(stamp, refreshed);
        Assert.True(refreshed.IsCurrent(new Clock(TimeSpan.FromHours(3)), out CompileStamp again, CancellationToken.None));
        Assert.Same(refreshed, again);
    }

    /// <summary>A file that changed within the resolution of file times after it was read has the same time and length.</summary>
    [Theory]
    [InlineData(0, false)]
    [InlineData(1, false)]
    [InlineData(3600, true)]
    public void IsCurrent_otherBytesAtTheSameTime_isSeenWhenTheFileWasYoung(int secondsOld, bool missed)
    {
        _folder.Write("model/weights.bin", "abcd");
        File.SetLastWriteTimeUtc(_folder["model/weights.bin"], DateTime.UtcNow);
        DateTime time = File.GetLastWriteTimeUtc(_folder["model/weights.bin"]);
        CompileStamp stamp = Stamp(new Clock(time.AddSeconds(secondsOld) - DateTime.UtcNow));
        _folder.Write("model/weights.bin", "abce");
        File.SetLastWriteTimeUtc(_folder["model/weights.bin"], time);

        Assert.Equal(missed, stamp.IsCurrent(new Clock(TimeSpan.FromHours(2)), out _, CancellationToken.None));
    }

    [Fact]
    public void IsCurrent_changes_areSeen()
    {
        Changed(() => _folder.Write("model/weights.bin", "abcde"));
        Changed(() => _folder.Write("model/more.json", "{}"));
        Changed(() => File.Delete(_folder["model/weights.bin"]));
        Changed(() => File.Delete(_folder["out.mpack"]));
        Changed(() => _folder.Write("out.mpack", "half"));
        Changed(() => _folder.Write("recipe.json", "{}"));
    }

    [Fact]
    public void Write_thenRead_isTheSame()
    {
        CompileStamp stamp = Stamp(new Clock(TimeSpan.FromHours(1)));
        stamp.Write(_folder["stamp.json"]);

        CompileStamp read = CompileStamp.Read(_folder["stamp.json"])!;

        Assert.Equal(stamp.Files, read.Files);
        Assert.Equal(stamp.Inputs, read.Inputs);
        Assert.Equal(stamp.Outputs, read.Outputs);
        Assert.Equal((stamp.Looked, stamp.ClassesAsked), (read.Looked, read.ClassesAsked));
        Assert.Null(CompileStamp.Read(_folder["nothing.json"]));
        Assert.Null(CompileStamp.Read(_folder.Write("damaged.json", "{\"Inputs\":")));
    }

    public void Dispose() => _folder.Dispose();

    private void Changed(Action change)
    {
        CompileStamp stamp = Stamp(new Clock(TimeSpan.FromHours(1)));
        change();
        Assert.False(stamp.IsCurrent(new Clock(TimeSpan.FromHours(2)), out _, CancellationToken.None));
        foreach (string file in Directory.GetFiles(_folder.Path, "*", SearchOption.AllDirectories))
        {
            File.Delete(file);
        }
    }

    /// <summary>Of a folder with one file, a recipe that is missing, and an artifact.</summary>
    private CompileStamp Stamp(TimeProvider clock)
    {
        if (!File.Exists(_folder["model/weights.bin"]))
        {
            _folder.Write("model/weights.bin", "abcd");
        }

        string artifact = _folder.Write("out.mpack", "whole");
        return CompileStamp.Of([_folder["model"], _folder["recipe.json"]], clock, CancellationToken.None) with { Outputs = new Dictionary<string, long> { [artifact] = 5 } };
    }

    /// <summary>The system's time, moved.</summary>
    private sealed class Clock(TimeSpan ahead) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => System.GetUtcNow() + ahead;
    }
}
