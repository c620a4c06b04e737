using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>Hands the packer's progress on under the name of an activity.</summary>
internal sealed class PackProgressAdapter(IProgress<ToolProgress> target, string activity) : IProgress<PackProgress>
{
    public void Report(PackProgress value) => target.Report(new ToolProgress(activity, value.BytesDone, value.BytesTotal, value.Tensor));
}
