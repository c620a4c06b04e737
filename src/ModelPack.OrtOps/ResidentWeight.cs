using ModelPack.Kernels;

namespace ModelPack.OrtOps;

/// <summary>A weight of an operator in memory: in large pages where all weights stay, else one of those that pass through the <see cref="ResidentWindow"/> of the session that is being made.</summary>
internal readonly struct ResidentWeight
{
    private readonly ResidentWindow? _window;
    private readonly int _number;

    /// <param name="weight">The weight.</param>
    public unsafe ResidentWeight(PackedInput weight)
    {
        _window = ResidentWindow.Current;
        if (_window is null)
        {
            HugePages.Use((nint)weight.Data, weight.LengthBytes);
        }

        _number = _window?.Add((nint)weight.Data, weight.LengthBytes) ?? 0;
    }

    /// <summary>To be called before the weight is read.</summary>
    public void Use() => _window?.Use(_number);
}
