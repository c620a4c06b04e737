using ModelPack.OrtOps;
using ModelPack.Runtime;
using ModelPack.Runtime.Loading;
using ModelPack.Runtime.Native;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>What a process does beside the opening of its first artifact. Failures of it are silent, so these tests look.</summary>
public sealed class RehearsalTests
{
    /// <summary>Nobody sees when the artifact of a few bytes cannot be opened: it would only take longer.</summary>
    [Fact]
    public void The_tiny_artifact_opens_and_has_both_kinds_of_weights()
    {
        using PackedModel model = PackedModel.Open("tiny", new TinyArtifact(), new ModelSessionOptions { Threads = 1 });

        Assert.Equal("x", Assert.Single(model.Inputs).Name);
        Assert.Single(model.BuffersInPlace);
        float[] x = [.. Enumerable.Range(0, 32).Select(i => (float)i)];
        NamedTensor y = Assert.Single(model.Run(NamedTensor.Of<float>("x", x, 32)));
        Assert.Equal(x, y.Values<float>().ToArray());
    }

    [Fact]
    public void A_rehearsal_ends_without_errors() => PackedModel.Rehearse(new TinyArtifact());

    /// <summary>It must not begin a session that may be in the middle of its making when the process ends.</summary>
    [Fact]
    public void A_rehearsal_gives_up_when_a_session_is_there()
    {
        using PackedModel model = PackedModel.Open("tiny", new TinyArtifact(), new ModelSessionOptions { Threads = 1 });

        Assert.Throws<OperationCanceledException>(() => OrtSessions.Rehearse(() => PackedModel.Rehearse(new TinyArtifact())));
        PackedModel.Rehearse(new TinyArtifact());
    }

    /// <summary>In the order given, and what one piece throws is no matter to the next, nor to the process.</summary>
    [Fact]
    public void Queued_work_is_done_whatever_other_work_throws()
    {
        using var done = new CountdownEvent(3);
        bool taken = WarmUpQueue.Add(() => done.Signal());
        WarmUpQueue.Add(() =>
        {
            done.Signal();
            throw new InvalidOperationException();
        });
        WarmUpQueue.Add(() => done.Signal());

        Assert.Equal(Environment.ProcessorCount > 1, taken);
        Assert.True(!taken || done.Wait(TimeSpan.FromSeconds(60)));
    }
}
