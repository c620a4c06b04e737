using ModelPack.Kernels;
using Xunit;

namespace ModelPack.Tests.Kernels;

public sealed class ResidentWindowTests
{
    [Fact]
    public void Weights_within_the_budget_are_left_alone()
    {
        var memory = new Recorder();
        var window = new ResidentWindow(100, memory);
        int[] numbers = [.. Enumerable.Range(0, 10).Select(i => window.Add(1000 * i, 10))];
        Cycle(window, numbers, 2);
        Assert.Equal((100, 0), (window.WeightBytes, window.StreamedBytes));
        Assert.Empty(memory.Said);
    }

    [Fact]
    public void The_first_weights_stay_and_the_others_pass_through_the_rest()
    {
        var memory = new Recorder();
        var window = new ResidentWindow(60, memory);
        int[] numbers = [.. Enumerable.Range(0, 8).Select(i => window.Add(i, 10))];

        // Three of 10 pass through 30 of the 60, so three stay: 3 to 7 are read again.
        Assert.Equal(50, window.StreamedBytes);
        Cycle(window, numbers, 1);
        Assert.Equal("ask 4, ask 5, give 3, ask 5, ask 6, give 4, ask 6, ask 7, give 5, ask 7, ask 3, give 6, ask 3, ask 4", memory.Text);
        memory.Said.Clear();
        Cycle(window, numbers, 1);
        Assert.StartsWith("give 7, ask 4, ask 5, give 3, ", memory.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_budget_below_the_largest_weights_streams_all()
    {
        var memory = new Recorder();
        var window = new ResidentWindow(1, memory);
        int[] numbers = [window.Add(0, 10), window.Add(1, 30)];
        Assert.Equal(40, window.StreamedBytes);
        Cycle(window, numbers, 1);
        Assert.Equal("ask 1, give 0, ask 0", memory.Text);
    }

    [Fact]
    public void One_weight_is_never_asked_for_while_it_is_used()
    {
        var memory = new Recorder();
        var window = new ResidentWindow(1, memory);
        int[] numbers = [window.Add(0, 10)];
        Cycle(window, numbers, 3);
        Assert.Empty(memory.Said);
    }

    private static void Cycle(ResidentWindow window, int[] numbers, int times)
    {
        for (int i = 0; i < times; i++)
        {
            Array.ForEach(numbers, window.Use);
        }
    }

    private sealed class Recorder : IMappedMemory
    {
        public List<string> Said { get; } = [];

        public string Text => string.Join(", ", Said);

        public void AskFor(nint address, long lengthBytes) => Said.Add($"ask {address}");

        public void GiveUp(nint address, long lengthBytes) => Said.Add($"give {address}");
    }
}
