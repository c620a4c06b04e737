using ModelPack.Runtime.Generation;

namespace ServerSample;

/// <summary>The model, and as many sequences at a time as there are slots, each on one thread: others wait for a slot. A slot is free again when its sequence ends, is cancelled or fails.</summary>
internal sealed class Engine(string name, TextGenerator generator, int slots) : IDisposable
{
    private readonly SemaphoreSlim _slots = new(slots);

    public string Name => name;

    public int FreeSlots => _slots.CurrentCount;

    public async Task<GenerationResult> RunAsync(Func<TextGenerator, GenerationResult> run, CancellationToken cancellation)
    {
        await _slots.WaitAsync(cancellation);
        try
        {
            return await Task.Run(() => run(generator), cancellation);
        }
        finally
        {
            _slots.Release();
        }
    }

    public void Dispose()
    {
        generator.Dispose();
        _slots.Dispose();
    }
}
